import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { type TestServer, testServer } from './server-fixture.ts';
import { ticketRequests } from './ticket-requests.ts';

let database: TestDatabase;
let server: TestServer;

beforeAll(async () => {
  database = await testDatabase();
  server = await testServer(database.url);
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const { open, patch, head } = ticketRequests(() => server);

describe('bad input', () => {
  it('is refused with the field that is wrong, and journals nothing', async () => {
    const { ticket } = await open();
    const before = await head();
    const bad: [body: unknown, status: number, path: string | undefined, detail: RegExp][] = [
      [{ summary: '' }, 422, 'summary', /must not be empty/],
      [{ summary: ' \t ' }, 422, 'summary', /must not be empty/],
      [{ summary: 'x'.repeat(501) }, 422, 'summary', /500 characters/],
      [{ summary: 'two\nlines' }, 422, 'summary', /single line/],
      [{ summary: 7 }, 422, 'summary', /must be text/],
      [{ summary: null }, 422, 'summary', /must be text/],
      [{ summary: ['a'] }, 422, 'summary', /must be text/],
      [{ owner: 'a\u0000b' }, 422, 'owner', /NUL/],
      [{ description: '\ud800' }, 422, 'description', /surrogate/],
      [{ description: 'x'.repeat(262_145) }, 422, 'description', /262144 characters/],
      [{ comment: 'x'.repeat(65_537) }, 422, 'comment', /65536 characters/],
      [{ comment: '\udc00' }, 422, 'comment', /surrogate/],
      [{ colour: 'red' }, 422, 'colour', /is not known here/],
      [{ id: '7' }, 422, 'id', /is not known here/],
      [{ comments: 7 }, 422, 'comments', /is not known here/],
      [{ custom: [] }, 422, 'custom', /must be a JSON object/],
      [{ custom: 'x' }, 422, 'custom', /must be a JSON object/],
      [{ custom: { '': 1 } }, 422, 'custom.', /needs a name/],
      [{ custom: { ['x'.repeat(101)]: 1 } }, 422, `custom.${'x'.repeat(100)}`, /more than 100/],
      [{ custom: { a: '\u0000' } }, 422, 'custom.a', /NUL/],
      [{ custom: { a: { b: ['\ud800'] } } }, 422, 'custom.a', /surrogate/],
      [{ custom: { 'a\u0007': 1 } }, 422, 'custom.a\u0007', /control/],
      [{ custom: { a: 2 ** 60 } }, 422, 'custom.a', /write it as text/],
      [
        { custom: Object.fromEntries(Array.from({ length: 101 }, (_, n) => [n, n])) },
        422,
        'custom',
        /100 custom fields/,
      ],
      [{ custom: { a: 'x'.repeat(70_000) } }, 422, 'custom', /65536 bytes/],
      [{ status: 'nowhere' }, 422, 'status', /cannot become "nowhere": possible are leave \(to new\), accept/],
      [{ status: '' }, 422, 'status', /must not be empty/],
      [{ resolution: 'fixed' }, 422, 'resolution', /cannot be set to "fixed": possible are/],
      [{ status: 'closed', resolution: 'nope' }, 422, 'resolution', /one of fixed, invalid/],
      [{ status: 'assigned' }, 422, 'owner', /reassign needs a name/],
      [{ status: 'accepted', owner: 'ann' }, 422, 'owner', /accept sets the owner to "admin"/],
      [{ action: 'reopen' }, 422, 'action', /"reopen" is not possible with a ticket that is "new": possible are/],
      [{ action: 'resolve', status: 'new' }, 422, 'action', /not possible/],
      [{ action: '__proto__' }, 422, 'action', /not possible/],
      ['text', 422, '', /./],
      [[], 422, '', /./],
      [null, 422, '', /./],
    ];
    for (const [body, status, path, detail] of bad) {
      const answer = await patch(ticket.id, body);
      const problem = await answer.json();
      const [error] = problem.errors ?? [];
      expect({ body, status: answer.status, path: error?.path, detail: problem.detail }).toEqual({
        ...{ body, status, path, detail: expect.stringMatching(detail) },
      });
    }
    const raw = (text: string) =>
      server.ask(`/tickets/${ticket.id}`, {
        method: 'PATCH',
        body: text,
        headers: { 'content-type': 'application/json' },
      });
    for (const text of ['', '{', '{"custom":{"__proto__":1}}', '{"custom":{"a":1e400}}']) {
      expect([text, (await raw(text)).status]).toEqual([text, text.includes('1e400') ? 422 : 400]);
    }
    const all = await (
      await patch(ticket.id, { summary: '', owner: 'a\nb', custom: { '': 1 }, comment: '\u0000' })
    ).json();
    expect(all.errors.map(({ path }: { path: string }) => path)).toEqual(['summary', 'owner', 'comment', 'custom.']);
    expect((await server.send('POST', '/tickets', {})).status).toBe(422);
    expect((await server.send('POST', '/tickets', { summary: 'x', comment: 'x' })).status).toBe(422);
    expect(await head()).toBe(before);
  });

  it('in the path is an unknown ticket', async () => {
    for (const id of ['seven', '0', '-1', '1.0', '007', '9223372036854775808', '%20', '1%00', '[1,1]']) {
      for (const [method, rest] of [
        ['GET', ''],
        ['PATCH', ''],
        ['DELETE', ''],
        ['GET', '/history'],
        ['GET', '/actions'],
      ]) {
        const init =
          method === 'PATCH' ? { body: '{"owner":"x"}', headers: { 'content-type': 'application/json' } } : {};
        const answer = await server.ask(`/tickets/${id}${rest}`, { method: method as string, ...init });
        expect([id, method, answer.status]).toEqual([id, method, 404]);
      }
    }
    expect((await server.ask('/tickets/1?as_of=soon')).status).toBe(400);
    expect((await server.ask('/tickets/1?version=1')).status).toBe(422);
  });
});
