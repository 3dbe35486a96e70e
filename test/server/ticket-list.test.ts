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

const { open, patch, items } = ticketRequests(() => server);

describe('the list', () => {
  it('is filtered by fields, by words of lists and by custom fields', async () => {
    const at = 'filters';
    const a = (await open({ component: at, owner: 'ann', cc: 'joe alice', custom: { points: 3, 'a.b': 'x y' } }))
      .ticket;
    const b = (await open({ component: at, owner: 'bob', keywords: 'disk', custom: { points: '4' } })).ticket;
    const c = (await open({ component: at, status: 'assigned' })).ticket;
    const ids = async (query: string) =>
      (await items(`/tickets?component=${at}&${query}`)).map((t: { id: string }) => t.id);
    expect(await ids('')).toEqual([a.id, b.id, c.id]);
    expect(await ids('owner=ann&owner=bob')).toEqual([a.id, b.id]);
    expect(await ids('owner=')).toEqual([c.id]);
    expect(await ids('status=new&owner=bob')).toEqual([b.id]);
    expect(await ids('cc=alice')).toEqual([a.id]);
    expect(await ids('cc=ali')).toEqual([]);
    expect(await ids('keywords=disk&keywords=full')).toEqual([b.id]);
    expect(await ids('keywords=&cc=')).toEqual([c.id]);
    expect(await ids('custom.points=3&custom.points=4')).toEqual([a.id, b.id]);
    expect(await ids(`custom.${encodeURIComponent('a.b')}=${encodeURIComponent('x y')}`)).toEqual([a.id]);
    expect(await ids('sort=-id')).toEqual([c.id, b.id, a.id]);
    expect(await ids('sort=-owner')).toEqual([b.id, a.id, c.id]);
    expect(await items(`/tickets?component=${at}&owner=ann`)).toEqual([a]);
  });

  it('is paged without gaps or repetitions while others write', async () => {
    const made: string[] = [];
    for (const n of [3, 1, 2, 3, 1]) made.push((await open({ component: 'pages', milestone: `m${n}` })).ticket.id);
    const seen: string[] = [];
    let cursor = '';
    do {
      const page = await (await server.ask(`/tickets?component=pages&sort=-milestone&limit=2&cursor=${cursor}`)).json();
      seen.push(...page.items.map((ticket: { id: string }) => ticket.id));
      cursor = page.next;
      await patch(made[0] as string, { comment: 'in between' });
      await open({ component: 'pages', milestone: 'm9' });
    } while (cursor !== null);
    expect(seen).toEqual([3, 0, 2, 4, 1].map((n) => made[n]));
  });

  it('refuses what it does not know, and cursors of other lists', async () => {
    await open({ component: 'cursors' });
    await open({ component: 'cursors' });
    const { next } = await (await server.ask('/tickets?component=cursors&limit=1')).json();
    const history = (await (await server.ask('/journal?limit=1')).json()).cursor;
    const tries: [query: string, status: number, detail: RegExp][] = [
      ['colour=red', 422, /colour: is no filter of tickets/],
      ['owner.x=red', 422, /owner.x: is no filter of tickets/],
      ['sort=colour', 422, /sort: must be one of id, summary/],
      ['sort=--id', 422, /sort: must be one of/],
      ['sort=id&sort=id', 422, /sort/],
      ['limit=-1', 422, /limit: must be a whole number from 1 to 500/],
      ['limit=501', 422, /limit/],
      ['custom=x', 422, /custom: is no filter of tickets/],
      ['custom.=x', 422, /needs a name/],
      ['custom.__proto__=x', 422, /cannot be called that/],
      [`cursor=${next}`, 400, /other filters or another order/],
      [`component=cursors&sort=-id&cursor=${next}`, 400, /other filters or another order/],
      [`cursor=${history}`, 400, /not one that this program gave out/],
      ['cursor=abc', 400, /not one that this program gave out/],
      [`cursor=${encodeURIComponent(Buffer.from('["other","x","",""]').toString('base64url'))}`, 400, /not one/],
      ['owner=%00', 422, /NUL/],
    ];
    for (const [query, status, detail] of tries) {
      const answer = await server.ask(`/tickets?${query}`);
      const problem = await answer.json();
      expect({ query, status: answer.status, detail: problem.detail }).toEqual({
        query,
        status,
        detail: expect.stringMatching(detail),
      });
    }
  });
});
