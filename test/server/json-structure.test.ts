import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseJson } from '../../apps/server/json-body.ts';

const parse = (json: string) => parseJson(Buffer.from(json));

describe('the structure of a body', () => {
  it.each([
    ['{"a":1,"a":1}', 'a'],
    ['{"a":1,"b":{},"a":2}', 'a'],
    ['{"a":1,"\\u0061":2}', 'a'],
    ['{"a" \n:1,\t"a"\r:2}', 'a'],
    ['{"a":{"b":[{"c":1,"c":2}]}}', 'a.b.c'],
    ['[{"a":1},{"a":1,"a":1}]', 'a'],
    ['{"":1,"":2}', ''],
    [`{"text":"${'\\"'.repeat(1000)}","text":""}`, 'text'],
  ])('%.40s is refused: a field is there twice', (json, path) => {
    expect(() => parse(json)).toThrow(`the body has the field ${JSON.stringify(path)} twice`);
  });

  it.each([
    '{"a":1,"b":1}',
    '[{"a":1},{"a":1}]',
    '{"a":{"a":{"a":1}}}',
    '{"a":"a","b":"\\"a\\":","c":"{\\"a\\":1,\\"a\\":2}"}',
    '["a","a"]',
    '{"a":1,"A":2,"a ":3}',
    `{"a":"${'x'.repeat(254)}\\\\","b":"\\\\"}`,
  ])('%.40s is taken as it is', (json) => {
    expect(parse(json)).toEqual(JSON.parse(json));
  });

  it('the sentence about a half-given body is that of the parser', () => {
    for (const json of ['{"a', '{"a":', '{"a":"\\u12', '"', '{"a\\x":1}', ']', '}{']) {
      expect(() => parse(json)).toThrow(/^the body is not JSON: /);
    }
  });

  it('whatever JSON.stringify writes is taken, and with its first field repeated refused', () => {
    const object = fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 300 }), fc.jsonValue({ maxDepth: 4 }), {
      minKeys: 1,
    });
    fc.assert(
      fc.property(object, (given) => {
        const json = JSON.stringify(given);
        fc.pre(!json.includes('__proto__'));
        expect(parse(json)).toEqual(JSON.parse(json));
        const [field, value] = Object.entries(given)[0] as [string, unknown];
        const repeated = `${json.slice(0, -1)},${JSON.stringify(field)}:${JSON.stringify(value)}}`;
        expect(() => parse(repeated)).toThrow(/twice/);
      }),
    );
  });
});
