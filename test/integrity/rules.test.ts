import { describe, expect, it } from '@jest/globals';
import { type RuleDefinition, Rules } from '#libs/integrity';

const lines: { about: Record<string, unknown>; message: string }[] = [];
const ignore = () => undefined;
const log = {
  ...{ debug: ignore, info: ignore, warn: ignore },
  error: (about: object, message: string) => void lines.push({ about: about as Record<string, unknown>, message }),
};

const thing = () => ({ id: '1' });
const parts = () => [{ id: '7', status: 'wip', assignees: ['3'] }];
const rules = (...all: { name: string; judge: unknown; description?: string }[]) =>
  new Rules(all as unknown as RuleDefinition[], log);

const WANTED = 'a list of { field, actual }';
const cyclic: { self?: unknown } = {};
cyclic.self = cyclic;

const NONSENSE: [what: string, judge: (...given: never[]) => unknown, actual: string][] = [
  ['nothing', () => undefined, 'it returned undefined'],
  ['an object', () => ({ field: 'x' }), 'it returned an object'],
  ['a promise that is rejected', () => Promise.reject(new Error('late')), 'it returned a promise'],
  ['a list of nothing', () => [null], 'it returned a list with null in it'],
  ['a list with a hole', () => new Array(1), 'it returned a list with undefined in it'],
  ['a violation without a field', () => [{ actual: 1 }], expect.stringContaining('whose field is no text') as never],
  ['a function as a value', () => [{ field: 'x', actual: ignore }], 'it returned a function as the actual value of x'],
  ['what is no JSON', () => [{ field: 'x', actual: 1n }], expect.stringContaining('BigInt') as never],
  ['a circle', () => [{ field: 'x', actual: cyclic }], expect.stringContaining('circular') as never],
  ['a book', () => [{ field: 'x', actual: 'x'.repeat(10_001) }], expect.stringContaining('10,000') as never],
  ['a flood', () => Array(1_001).fill({ field: 'x' }), 'it returned 1001 violations, and 1000 are the most'],
  [
    'an error',
    () => {
      throw new Error('no coffee');
    },
    'it threw: no coffee',
  ],
  [
    'what cannot be told',
    () => {
      throw Object.create(null);
    },
    'it threw what cannot be told',
  ],
  [
    'a change of a part',
    (_: never, [part]: { status: string }[]) => {
      (part as { status: string }).status = 'done';
      return [];
    },
    expect.stringContaining('read only') as never,
  ],
  [
    'a change of what a part holds',
    (_: never, [part]: { assignees: string[] }[]) => part?.assignees.push('4'),
    expect.stringContaining('not extensible') as never,
  ],
  ['a change of the list', (_: never, all: object[]) => all.splice(0), expect.any(String) as never],
];

describe('a rule', () => {
  it('says what is wrong, under its name', () => {
    const judge = (_: unknown, tasks: { id: string }[]) => tasks.map(({ id }) => ({ field: `tasks.${id}`, more: 1 }));
    expect(rules({ name: 'p.a', judge }).judge(thing(), parts())).toEqual([
      { field: 'tasks.7', expected: 'p.a', actual: null },
    ]);
    expect(rules({ name: 'p.a', judge, description: 'none' }).judge(thing(), parts())[0]?.expected).toBe('p.a: none');
    expect(rules().judge(thing(), parts())).toEqual([]);
  });

  it.each(NONSENSE)('that gives %s is told, and the others judge what was read', (_, judge, actual) => {
    const shown = (given: object, all: object[]) => [{ field: 'seen', actual: [given, all] }];
    const told = rules({ name: 'p.bad', judge }, { name: 'p.good', judge: shown }).judge(thing(), parts());
    expect(told).toEqual([
      { field: 'rules.p.bad', expected: WANTED, actual },
      { field: 'seen', expected: 'p.good', actual: [thing(), parts()] },
    ]);
  });

  it('that fails again and again is logged once', () => {
    lines.length = 0;
    const failing = rules({ name: 'p.bad', judge: () => 1 });
    for (let n = 0; n < 3; n++) failing.judge(thing(), parts());
    expect(lines).toEqual([
      { about: { rule: 'p.bad', thing: { id: '1' }, reason: 'it returned a number' }, message: 'a rule has failed' },
    ]);
  });

  it('has a name of its own', () => {
    expect(() => rules({ name: 'a', judge: ignore }, { name: 'a', judge: ignore })).toThrow('two rules are called a');
  });
});
