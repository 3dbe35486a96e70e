import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { Document } from './openapi/document.ts';
import { type TestServer, testServer } from './server-fixture.ts';

let database: TestDatabase;
let server: TestServer;
let document: Document;

beforeAll(async () => {
  database = await testDatabase();
  server = await testServer(database.url);
  document = await Document.of(server);
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

describe('the OpenAPI document', () => {
  it('needs no token, and is the same for every server of the program', async () => {
    const second = await testServer(database.url);
    const [one, two] = await Promise.all(
      [server, second].map(async ({ url }) => (await fetch(`${url}/openapi.json`)).text()),
    );
    await second.close();
    expect(one).toBe(two);
    expect(one).toMatch(/^{"openapi":"3\.1\.0"/);
  });

  it('has every route of the server, and no other', () => {
    // HEAD comes with each GET.
    const routes = server.routes.filter(({ method }) => method !== 'HEAD' && method !== 'OPTIONS');
    const served = routes.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
    expect(document.operations.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(served.sort());
  });

  it('gives each operation a name of its own, a summary, a group and what it answers', () => {
    const names = document.operations.map(({ operationId }) => operationId);
    expect(new Set(names).size).toBe(names.length);
    for (const { operationId, summary, tags, responses } of document.operations) {
      expect([operationId, summary, tags.length]).toEqual([
        expect.stringMatching(/^[a-z]\w+$/),
        expect.stringMatching(/^[A-Z].*[^.]$/),
        1,
      ]);
      const told = Object.keys(responses).map(Number);
      expect(told.filter((status) => status < 300).length).toBeGreaterThan(0);
      expect(told).toEqual(expect.arrayContaining([400, 431, 500, 503]));
    }
  });

  it('has an example of each answer and each body, which its own schema accepts', () => {
    for (const operation of document.operations) {
      for (const [status, { content = {} }] of Object.entries(operation.responses)) {
        for (const [type, { example }] of Object.entries(content)) {
          if (!type.includes('json')) continue;
          const wrong = example === undefined ? 'none' : document.bodyError(operation, Number(status), type, example);
          expect([operation.operationId, status, wrong]).toEqual([operation.operationId, status, undefined]);
        }
      }
      const body = operation.requestBody?.content['application/json']?.schema;
      if (body === undefined) continue;
      const example = document.resolve(body).example ?? document.resolve(body).examples?.[0];
      expect([operation.operationId, document.requestError(operation, example)]).toEqual([
        operation.operationId,
        undefined,
      ]);
    }
  });

  it('says of each group what it is, and has none that is empty', () => {
    const groups = document.operations.flatMap(({ tags }) => tags);
    expect(document.json.tags.map(({ name }) => name).sort()).toEqual([...new Set(groups)].sort());
  });

  it('tells every refusal as a problem, with its code', () => {
    for (const { responses } of document.operations) {
      for (const [status, { content }] of Object.entries(responses)) {
        if (Number(status) < 400) continue;
        const { schema, example } = content?.['application/problem+json'] ?? {};
        expect(schema).toEqual({ $ref: '#/components/schemas/Problem' });
        expect(example).toMatchObject({ status: Number(status), code: expect.any(String), detail: expect.any(String) });
      }
    }
  });

  it('names the parameters of each path, and describes every parameter', () => {
    for (const { path, parameters } of document.operations) {
      const named = [...path.matchAll(/{(\w+)}/g)].map(([, name]) => name);
      expect(parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name)).toEqual(named);
      for (const parameter of parameters) {
        if (parameter.example !== undefined)
          expect(document.valueError(parameter.schema, parameter.example)).toBeUndefined();
        if (parameter.in === 'path') expect(parameter.example).toBeDefined();
        else expect(parameter.description).toMatch(/./);
      }
    }
  });

  it('says of changes that they are keyed, and of single resources that they are versioned', () => {
    const headers = (id: string) => {
      const { parameters, responses } = document.operations.find(
        ({ operationId }) => operationId === id,
      ) as Document['operations'][0];
      return [
        parameters.filter((parameter) => parameter.in === 'header').map(({ name }) => name),
        Object.keys(responses),
      ];
    };
    const [put, answers] = headers('putPage');
    expect(put).toEqual(expect.arrayContaining(['If-Match', 'If-None-Match', 'Idempotency-Key', 'Tidemark-Wait-For']));
    expect(answers).toEqual(expect.arrayContaining(['200', '201', '409', '412', '413', '415', '422']));
    const [get, found] = headers('getPage');
    expect(get).toEqual(['If-None-Match', 'Tidemark-Wait-For', 'Tidemark-Wait-Timeout']);
    expect(found).toEqual(expect.arrayContaining(['200', '304', '404']));
    const [rules, kept] = headers('setProjectRules');
    expect(rules).toEqual(expect.arrayContaining(['If-Match', 'Idempotency-Key']));
    expect(kept).toEqual(expect.arrayContaining(['200', '404', '412']));
    expect(headers('getProjectRules')[1]).toEqual(expect.arrayContaining(['200', '304', '404']));
  });

  it('asks for a token everywhere but where none is needed', async () => {
    for (const { method, path, security, responses } of document.operations) {
      const answer = await fetch(`${server.url}${path.replace(/{\w+}/g, '1')}`, { method });
      expect([method, path, answer.status === 401]).toEqual([method, path, security?.length !== 0]);
      expect('401' in responses).toBe(security?.length !== 0);
      await answer.body?.cancel();
    }
  });
});

describe('the page of the document', () => {
  it('is made of files of this server, which nothing else may add to', async () => {
    const page = await fetch(`${server.url}/docs`);
    const html = await page.text();
    expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'self';/);
    expect(page.headers.get('content-security-policy')).not.toContain('unsafe');
    const parts = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, part]) => part as string);
    expect(parts.length).toBeGreaterThan(3);
    for (const part of parts) {
      const file = await fetch(new URL(part, `${server.url}/docs`));
      expect([part, file.status, file.headers.get('content-type')]).toEqual([
        part,
        200,
        expect.stringMatching(/script|css|png/),
      ]);
      expect((await file.bytes()).length).toBeGreaterThan(20);
    }
    expect(html).not.toMatch(/<script>|style=|https?:/);
  });

  it('gives out no other file', async () => {
    for (const file of [
      'package.json',
      '..%2Fpackage.json',
      'index.html',
      '__proto__',
      'constructor',
      'swagger-ui.js.map',
    ]) {
      expect([file, (await fetch(`${server.url}/docs/${file}`)).status]).toEqual([file, 404]);
    }
  });
});
