import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { addUser, createToken, revokeToken } from '#libs/access';
import { Database } from '#libs/database';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { exampleOf } from './openapi/arbitrary-body.ts';
import { arbitraryRequest, type Bearer, type GeneratedRequest, parametersIn } from './openapi/arbitrary-request.ts';
import { answerFaults } from './openapi/check-answer.ts';
import { Document, type Operation } from './openapi/document.ts';
import { type Answered, exchange, Memory, targetOf } from './openapi/exchange.ts';
import { type TestServer, TOKEN, testServer } from './server-fixture.ts';

const REQUESTS = process.env['TIDEMARK_TEST_LONG'] === '1' ? 10_000 : 1_500;
const SEED = Number(process.env['TIDEMARK_TEST_SEED'] ?? Date.now() % 2 ** 31);

let database: TestDatabase;
let owner: Database;
let server: TestServer;
let document: Document;
let tokens: Record<Bearer, string | undefined>;

beforeAll(async () => {
  database = await testDatabase();
  owner = Database.open({ url: database.ownerUrl });
  await addUser(owner, { name: 'admin', email: 'admin@example.org' });
  server = await testServer(database.url);
  document = await Document.of(server);
  const token = async (options: Parameters<typeof createToken>[1]) =>
    `Bearer ${(await createToken(owner, options)).token}`;
  const revoked = await createToken(owner, { user: 'joe', roles: ['admin'] });
  await revokeToken(owner, revoked.id);
  const expired = await createToken(owner, { user: 'joe', roles: ['admin'] });
  await owner.query("UPDATE tidemark.tokens SET expires = now() - interval '1 s' WHERE id = $1", [expired.id]);
  tokens = {
    admin: `Bearer ${TOKEN}`,
    viewer: await token({ user: 'alice', roles: ['viewer'] }),
    none: undefined,
    wrong: 'Bearer tdm_nobody',
    expired: `Bearer ${expired.token}`,
    revoked: `Bearer ${revoked.token}`,
    malformed: 'Basic am9lOmpvZQ==',
  };
});
afterAll(async () => {
  await server?.close();
  await owner?.close();
  await database?.drop();
});

let highest = 0;

/** The tids that were journaled since this was asked last. */
async function newTids(): Promise<number[]> {
  const { rows } = await owner.query<{ tid: number }>(
    'SELECT DISTINCT tid FROM tidemark.journal WHERE tid > $1 ORDER BY tid',
    [highest],
  );
  const tids = rows.map(({ tid }) => Number(tid));
  highest = tids.at(-1) ?? highest;
  return tids;
}

function journalFaults({ operation }: GeneratedRequest, { status, headers }: Answered, tids: number[]): string[] {
  const told = headers['tidemark-tid'];
  const changed = operation.method !== 'GET' && status < 300 && headers['idempotency-replayed'] === undefined;
  if (!changed) return tids.length > 0 ? [`answered ${status}, and journaled ${tids}`] : [];
  if (told === undefined) return tids.length > 0 ? [`says that nothing changed, and journaled ${tids}`] : [];
  return Number(told) === tids.at(-1) ? [] : [`says ${told}, and journaled ${tids}`];
}

/** Sends a request; what is wrong with its answer, by the document and by the journal. */
async function tryOut(request: GeneratedRequest, memory: Memory) {
  const target = targetOf(request, memory);
  const answered = await exchange(server.url, target, request, { authorization: tokens[request.bearer], memory });
  memory.keep(answered);
  const { operation } = request;
  const faults = [...answerFaults(document, operation, answered), ...journalFaults(request, answered, await newTids())];
  return { target, answered, faults };
}

/** What the examples of productions are about: records 7, which nothing refers to, and others to which one may refer. */
const PRODUCTION = `
  INSERT INTO project (name) SELECT 'P' || n FROM generate_series(1, 7) n;
  INSERT INTO sequence (project_id, name) SELECT 1, 'Q' || n FROM generate_series(1, 7) n;
  INSERT INTO shot (project_id, sequence_id, name) SELECT 1, 1, 'S' || n FROM generate_series(1, 7) n;
  INSERT INTO asset (project_id, name) SELECT 1, 'A' || n FROM generate_series(1, 7) n;
  INSERT INTO person (name) SELECT 'N' || n FROM generate_series(1, 7) n;
  INSERT INTO task_type (id, name) VALUES ('layout', 'Layout'), ('comp', 'Compositing');
  INSERT INTO task_status (id, name, is_default, is_wip, is_retake, is_done) VALUES ('todo', 'To do', true, false, false, false),
    ('wip', 'At work', false, true, false, false), ('retake', 'Again', false, false, true, false),
    ('done', 'Done', false, false, false, true), ('approved', 'Approved', false, false, false, true);
  INSERT INTO task (project_id, entity_type, entity_id, task_type, name, initial_status, status, comments)
    SELECT 1, 'shot', 1, 'layout', 'T' || n, 'todo', 'todo', 1 FROM generate_series(1, 7) n;
  INSERT INTO task_comment (task_id, number, project_id, date, text) SELECT id, 1, 1, '2026-01-01', 'hello' FROM task`;

describe('requests that are generated from the OpenAPI document', () => {
  it('each of its examples does what it is for', async () => {
    for (let n = 0; n < 45; n++) await server.send('POST', '/tickets', { summary: `Ticket ${n}` });
    await owner.query(`INSERT INTO tidemark.listener_positions (listener, tid) VALUES ('mail', 0)`);
    await owner.query(
      `INSERT INTO tidemark.effects (listener, tid, resource, id, state) VALUES ('mail', 42, 'ticket', '7', 'parked')`,
    );
    const hook = { url: 'https://hooks.example.org/', filter: { resources: ['ticket_comment'] } };
    for (let n = 0; n < 3; n++) await server.send('POST', '/webhooks', hook);
    await owner.query(PRODUCTION);
    await owner.query(
      `INSERT INTO tidemark.finding (id, key, check_name, resource, row_id, kind, place) OVERRIDING SYSTEM VALUE
         VALUES (12, '', 'drift', 'ticket', '7', 'missing', '7')`,
    );
    await newTids();
    const deleteLast = document.operations.toSorted(
      (a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'),
    );
    for (const operation of deleteLast) {
      await server.put('Home', `before ${operation.operationId}`);
      await newTids();
      const schema = operation.requestBody?.content['application/json']?.schema;
      const { answered, faults } = await tryOut(
        {
          ...{ operation, headers: [], bearer: 'admin' },
          query: parametersIn(operation, 'query').flatMap(({ name, required, example }) =>
            required ? [[name, String(example)] as const] : [],
          ),
          path: parametersIn(operation, 'path').map(({ example }) => ({ value: String(example), raw: false })),
          body: schema
            ? { type: 'application/json', bytes: Buffer.from(JSON.stringify(exampleOf(document, schema))) }
            : null,
        },
        new Memory(),
      );
      const { operationId } = operation;
      const good = answered.status < 300;
      expect({ operationId, answered, good, faults }).toEqual({ operationId, answered, good: true, faults: [] });
    }
  });

  it(`${REQUESTS} of them (seed ${SEED}) are answered as it says, and journaled if they are not refused`, async () => {
    const memory = new Memory();
    const asked = new Set<string>();
    let done = 0;
    const check = fc.asyncProperty(arbitraryRequest(document), async (request) => {
      const { target, answered, faults } = await tryOut(request, memory);
      asked.add(request.operation.operationId);
      if (answered.status < 300) done++;
      expect({ target, answered, faults }).toEqual({ target, answered, faults: [] });
    });
    await fc.assert(check, { numRuns: REQUESTS, seed: SEED, endOnFailure: true });
    expect([...asked].sort()).toEqual(document.operations.map(({ operationId }) => operationId).sort());
    // Else what is good is hardly tried.
    expect(done).toBeGreaterThan(REQUESTS / 5);
    expect(server.lines.filter(({ level }) => level === 'error')).toEqual([]);
  }, 600_000);
});

describe('what is looked for in the answers', () => {
  const page = { id: '7', name: 'Home', version: 2, text: 'x', readonly: false, author: 'joe', comment: null, tid: 42 };
  const body = { ...page, time: '2026-11-20T09:30:00.123456Z' };
  const problem = { type: 'about:blank', title: 'Not Found', status: 404, detail: 'no', code: 'not_found' };

  function faults(status: number, json: unknown, headers: Record<string, string> = {}) {
    const operation = document.operations.find(({ operationId }) => operationId === 'putPage') as Operation;
    const type = status < 400 ? 'application/json' : 'application/problem+json';
    const answered = { status, headers: { 'content-type': type, ...headers }, body: JSON.stringify(json) };
    return answerFaults(document, operation, answered);
  }

  it.each([
    ['a good answer', 200, body, { etag: '"7-3"', 'tidemark-tid': '42' }, []],
    ['a status that is not declared', 418, problem, {}, [/418 is not declared/]],
    ['a failure', 500, { ...problem, status: 500 }, {}, [/the server failed/]],
    ['a field that is not declared', 200, { ...body, row_version: 3 }, {}, [/additional properties/]],
    ['a field that is missing', 200, { ...body, text: undefined }, {}, [/text/]],
    ['a field of another type', 200, { ...body, tid: '42' }, {}, [/tid/]],
    ['a time that is none', 200, { ...body, time: 'now' }, {}, [/date-time/]],
    ['a header that is no number', 200, body, { 'tidemark-tid': 'x' }, [/Tidemark-Tid/]],
    ['another content type', 200, body, { 'content-type': 'text/html' }, [/text\/html/]],
    ['no Location', 201, body, {}, [/Location/]],
    ['SQL', 409, { ...problem, detail: 'violates unique constraint' }, {}, [/insides/]],
    ['a stack', 409, { ...problem, detail: 'at x (server.js:1:2)' }, {}, [/insides/]],
  ] as const)('%s', (_, status, json, headers, expected) => {
    expect(faults(status, json, headers)).toEqual(expected.map((pattern) => expect.stringMatching(pattern)));
  });
});
