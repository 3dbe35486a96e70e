import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createToken } from '#libs/access';
import { defineWorkflow } from '#libs/resources';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { type Answer, type TestServer, testServer } from './server-fixture.ts';
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

const { open, patch, items, head } = ticketRequests(() => server);
const tidOf = (answer: Answer) => answer.headers.get('tidemark-tid');

describe('a ticket', () => {
  it('is opened, read, changed, commented on and deleted', async () => {
    const { answer, ticket } = await open({ cc: 'ann;bob', custom: { points: 3 } });
    const path = `/tickets/${ticket.id}`;
    expect([answer.status, answer.headers.get('location'), tidOf(answer)]).toEqual([201, path, String(ticket.tid)]);
    expect(answer.headers.get('etag')).toBe(`"${ticket.id}-1"`);
    expect(ticket).toMatchObject({
      status: 'new',
      reporter: 'admin',
      cc: 'ann, bob',
      custom: { points: 3 },
      comments: 0,
    });
    expect(ticket).not.toHaveProperty('row_version');
    expect(await (await server.ask(path)).json()).toEqual(ticket);

    const changed = await patch(ticket.id, { owner: 'ann', custom: { points: null }, comment: 'yours' });
    const after = await changed.json();
    expect([changed.status, changed.headers.get('etag'), tidOf(changed)]).toEqual([
      200,
      `"${ticket.id}-2"`,
      String(after.tid),
    ]);
    expect(after).toMatchObject({ owner: 'ann', custom: {}, comments: 1 });
    const read = await server.ask(path);
    expect([await read.json(), read.headers.get('etag')]).toEqual([after, `"${ticket.id}-2"`]);
    expect(await (await server.ask(`${path}?as_of=${ticket.tid}`)).json()).toEqual(ticket);

    const deleted = await server.ask(path, { method: 'DELETE' });
    expect([deleted.status, await deleted.json()]).toEqual([200, { id: ticket.id, tid: Number(tidOf(deleted)) }]);
    expect((await server.ask(path)).status).toBe(404);
    expect(await items(`${path}/history`)).toMatchObject([
      { resource: 'ticket_comment', change: 'DELETE' },
      { resource: 'ticket', change: 'DELETE' },
      { change: 'MODIFY', comment: 'yours', number: 1, fields: { 'custom.points': { old: 3, new: null } } },
      { change: 'CREATE', comment: null, number: null, fields: { 'custom.points': { old: null, new: 3 } } },
    ]);
  });

  it('that a change leaves as it is answers 200 without a tid', async () => {
    const { ticket } = await open();
    for (const body of [{}, { type: 'defect' }, { comment: '  ' }, { custom: {} }, { custom: { none: null } }]) {
      const answer = await patch(ticket.id, body);
      expect([answer.status, tidOf(answer), await answer.json()]).toEqual([200, null, ticket]);
    }
  });

  it('changes under If-Match only at the version it names', async () => {
    const { ticket } = await open();
    const tag = (version: number) => ({ 'if-match': `"${ticket.id}-${version}"` });
    expect((await patch(ticket.id, { comment: 'one' }, tag(1))).status).toBe(200);
    const refused = await patch(ticket.id, { comment: 'two' }, tag(1));
    expect([refused.status, refused.headers.get('etag')]).toEqual([412, `"${ticket.id}-2"`]);
    const kept = await server.ask(`/tickets/${ticket.id}`, { method: 'DELETE', headers: tag(1) });
    expect([kept.status, kept.headers.get('etag')]).toEqual([412, `"${ticket.id}-2"`]);
    expect((await patch(ticket.id, { owner: 'x' }, { 'if-none-match': '*' })).status).toBe(412);
    expect((await server.send('POST', '/tickets', { summary: 'x' }, { 'if-match': '*' })).status).toBe(412);
    expect((await server.send('POST', '/tickets', { summary: 'x' }, { 'if-none-match': '*' })).status).toBe(201);
  });

  it('changes once under one Idempotency-Key', async () => {
    const { ticket } = await open();
    const key = { 'idempotency-key': 'comment-1' };
    const [first, again] = [
      await patch(ticket.id, { comment: 'one' }, key),
      await patch(ticket.id, { comment: 'one' }, key),
    ];
    expect([again.status, tidOf(again), again.headers.get('idempotency-replayed')]).toEqual([
      200,
      tidOf(first),
      'true',
    ]);
    expect(await again.json()).toEqual(await first.json());
    expect((await (await server.ask(`/tickets/${ticket.id}`)).json()).comments).toBe(1);
  });
});

describe('the workflow', () => {
  it('says what the caller may do, and does it', async () => {
    const { ticket } = await open();
    expect(await items(`/tickets/${ticket.id}/actions`)).toEqual([
      { action: 'leave', label: 'leave as it is', from: 'new', to: 'new', sets: [] },
      { action: 'accept', label: 'accept', from: 'new', to: 'accepted', sets: [{ field: 'owner', value: 'admin' }] },
      { action: 'reassign', label: 'assign to somebody', from: 'new', to: 'assigned', sets: [{ field: 'owner' }] },
      {
        ...{ action: 'resolve', label: 'resolve', from: 'new', to: 'closed' },
        sets: [
          {
            field: 'resolution',
            options: ['fixed', 'invalid', 'wontfix', 'duplicate', 'worksforme'],
            default: 'fixed',
          },
        ],
      },
    ]);
    const accepted = await (await patch(ticket.id, { action: 'accept' })).json();
    expect(accepted).toMatchObject({ status: 'accepted', owner: 'admin' });
    const closed = await (await patch(ticket.id, { status: 'closed', resolution: 'wontfix' })).json();
    expect(closed).toMatchObject({ status: 'closed', resolution: 'wontfix', owner: 'admin' });
    expect((await items(`/tickets/${ticket.id}/actions`)).map((each: { action: string }) => each.action)).toEqual([
      'leave',
      'reopen',
    ]);
    expect(await (await patch(ticket.id, { status: 'reopened' })).json()).toMatchObject({
      status: 'reopened',
      resolution: '',
    });
    expect((await server.ask('/tickets/999999/actions')).status).toBe(404);
  });

  it('offers nothing to somebody who may only read, and refuses them every change', async () => {
    const { token } = await createToken(server.database, { user: 'reader', roles: ['viewer'] });
    const { ticket } = await open();
    const as = (path: string, init: RequestInit = {}) =>
      fetch(`${server.url}${path}`, {
        ...init,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      });
    expect(await (await as(`/tickets/${ticket.id}/actions`)).json()).toEqual({ items: [] });
    expect((await as(`/tickets/${ticket.id}`, { method: 'PATCH', body: '{"comment":"x"}' })).status).toBe(403);
    expect((await as('/tickets', { method: 'POST', body: '{"summary":"x"}' })).status).toBe(403);
    expect((await as(`/tickets/${ticket.id}`, { method: 'DELETE' })).status).toBe(403);
    expect((await as('/tickets/batch', { method: 'POST', body: `{"ids":[${ticket.id}],"set":{}}` })).status).toBe(403);
  });
});

describe('a workflow of one’s own', () => {
  it('is what a server judges by', async () => {
    const workflow = defineWorkflow({
      initial: ['idea'],
      actions: [
        { name: 'build', label: 'build', from: ['idea'], to: 'built', operations: [], permission: 'modify' },
        { name: 'ship', label: 'ship', from: ['built'], to: 'shipped', operations: [], permission: 'modify' },
      ],
    });
    const other = await testServer(database.url, {}, { workflow });
    try {
      const made = await (await other.send('POST', '/tickets', { summary: 'Wings' })).json();
      const path = `/tickets/${made.id}`;
      expect(made.status).toBe('idea');
      const early = await other.send('PATCH', path, { status: 'shipped' });
      expect([early.status, (await early.json()).detail]).toEqual([
        ...[422, 'a ticket that is "idea" cannot become "shipped": possible are build (to built)'],
      ]);
      expect((await other.send('PATCH', path, { action: 'build' })).status).toBe(200);
      expect((await other.send('PATCH', path, { status: 'shipped' })).status).toBe(200);
    } finally {
      await other.close();
    }
  });
});

describe('a batch', () => {
  it('changes all under one tid, and says which were so already', async () => {
    const [one, two] = [(await open()).ticket, (await open({ milestone: 'm' })).ticket];
    const answer = await server.send('POST', '/tickets/batch', {
      ids: [one.id, Number(two.id)],
      set: { milestone: 'm' },
    });
    const changed = await answer.json();
    expect(changed).toEqual({ tid: Number(tidOf(answer)), changed: [one.id], unchanged: [two.id] });
    const all = await server.send('POST', '/tickets/batch', {
      ...{ ids: [two.id, one.id], set: { action: 'resolve', custom: { sprint: 7 } }, comment: 'done' },
    });
    const { changes } = await (await server.ask(`/journal/${tidOf(all)}`)).json();
    const ids = changes.map(({ resource, id }: { resource: string; id: string }) => `${resource} ${id}`);
    const tickets = [`ticket ${one.id}`, `ticket ${two.id}`];
    expect(new Set(ids)).toEqual(new Set([...tickets, `ticket_comment [${one.id},1]`, `ticket_comment [${two.id},1]`]));
    expect(await (await server.ask(`/tickets/${two.id}`)).json()).toMatchObject({
      ...{ status: 'closed', resolution: 'fixed', custom: { sprint: 7 }, comments: 1, milestone: 'm' },
    });
  });

  it('that one ticket does not allow changes none', async () => {
    const [one, two] = [(await open()).ticket, (await open()).ticket];
    await patch(two.id, { action: 'resolve' });
    const before = await head();
    const tries: [body: object, errors: { path: string; message: unknown }[]][] = [
      [
        { ids: [one.id, two.id], set: { action: 'accept' } },
        [{ path: 'ids.1', message: expect.stringContaining(`ticket ${two.id}: "accept"`) }],
      ],
      [{ ids: [one.id, '999999', 'x'], set: { owner: 'a' } }, [{ path: 'ids.2', message: 'there is no ticket x' }]],
      [
        { ids: [one.id, '999999', '999998'], set: { owner: 'a' } },
        [
          { path: 'ids.1', message: 'there is no ticket 999999' },
          { path: 'ids.2', message: 'there is no ticket 999998' },
        ],
      ],
      [
        { ids: [one.id, two.id, one.id], set: { owner: 'a' } },
        [{ path: 'ids.2', message: `ticket ${one.id} is given twice` }],
      ],
      [
        { ids: [one.id], set: { summary: ' ', type: 'a\nb' }, comment: 'a\u0000b' },
        [
          { path: 'set.summary', message: 'summary must not be empty' },
          { path: 'set.type', message: 'type must be a single line' },
        ],
      ],
    ];
    for (const [body, errors] of tries) {
      const answer = await server.send('POST', '/tickets/batch', body);
      expect([answer.status, (await answer.json()).errors]).toEqual([422, errors]);
    }
    expect(await head()).toBe(before);
  });
});
