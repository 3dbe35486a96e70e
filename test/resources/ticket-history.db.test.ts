import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  createTicket,
  deleteTicket,
  getTicket,
  getTicketAsOf,
  getTicketHistory,
  patchTicket,
  type TicketPatch,
} from '#libs/resources';
import { joe, refusal, type TicketFixture, ticketFixture } from './ticket-fixture.ts';

let fixture: TicketFixture;

beforeAll(async () => {
  fixture = await ticketFixture();
});
afterAll(() => fixture?.close());

const patch = (id: string, change: TicketPatch) => patchTicket(fixture.kernel, joe, id, change);

describe('history', () => {
  const history = (id: string, limit = 50) => getTicketHistory(fixture.database, id, { limit });

  it('tells each change with the comment that was made with it, newest first', async () => {
    const id = await fixture.open();
    await patch(id, { comment: 'mine', action: 'accept' });
    await patch(id, { owner: 'ann' });
    expect(await history(id)).toMatchObject([
      {
        resource: 'ticket',
        change: 'MODIFY',
        comment: null,
        number: null,
        fields: { owner: { old: 'joe', new: 'ann' } },
      },
      {
        resource: 'ticket',
        change: 'MODIFY',
        comment: 'mine',
        number: 1,
        fields: { status: { old: 'new', new: 'accepted' } },
      },
      { resource: 'ticket', change: 'CREATE', number: null, fields: { summary: { old: null } } },
    ]);
  });

  it('shows what SQL did past the program, under its database role', async () => {
    const id = await fixture.open();
    await fixture.database.query(`UPDATE ticket SET owner = 'raw' WHERE id = $1`, [id]);
    await fixture.database.query(`INSERT INTO ticket_comment VALUES ($1, 1, 'raw')`, [id]);
    await fixture.database.query(`UPDATE ticket_comment SET text = 'rawer' WHERE ticket_id = $1`, [id]);
    const { rows } = await fixture.database.query<{ user: string }>('SELECT session_user AS user');
    const author = rows[0]?.user;
    expect((await history(id)).slice(0, 3)).toMatchObject([
      { resource: 'ticket_comment', change: 'MODIFY', author, fields: { text: { old: 'raw', new: 'rawer' } } },
      { resource: 'ticket_comment', change: 'CREATE', author, number: null, fields: { text: { new: 'raw' } } },
      { resource: 'ticket', change: 'MODIFY', author, origin: null, fields: { owner: { old: '', new: 'raw' } } },
    ]);
  });

  it('outlives the ticket and tells of the comments that went with it, and of no other ticket', async () => {
    const id = await fixture.open();
    for (const comment of ['one', 'two', 'three']) await patch(id, { comment });
    const { tid } = await deleteTicket(fixture.kernel, joe, id);
    const all = await history(id);
    expect(all.map(({ change }) => change)).toEqual([...Array(4).fill('DELETE'), ...Array(3).fill('MODIFY'), 'CREATE']);
    expect(all[0]?.tid).toBe(tid);
    expect(
      all.filter(({ resource }) => resource === 'ticket_comment').map(({ fields }) => fields['text']?.old),
    ).toEqual(['three', 'two', 'one']);
    const paged: unknown[] = [];
    for (let before: { tid: number; resource: string; id: string } | undefined; ; ) {
      const [item] = await getTicketHistory(fixture.database, id, before ? { before, limit: 1 } : { limit: 1 });
      if (!item) break;
      paged.push(item);
      before = { tid: item.tid, resource: item.resource, id: item.id };
    }
    expect(paged).toEqual(all);
    expect((await refusal(history('999999999'))).code).toBe('not_found');
    expect((await refusal(getTicket(fixture.database, id))).code).toBe('not_found');
  });
});

describe('time travel', () => {
  it('shows a ticket as of a tid or a time, also one that was deleted', async () => {
    const opened = await createTicket(fixture.kernel, joe, { summary: 'Then', custom: { 'a.b': 1, c: 'x' } });
    const { id } = opened.ticket;
    const commented = await patch(id, { comment: 'one', custom: { c: null, d: [2] } });
    await patch(id, { summary: 'Now', custom: { d: null, 'a.b': null } });
    await deleteTicket(fixture.kernel, joe, id);
    expect(await getTicketAsOf(fixture.database, id, String(opened.tid))).toEqual(opened.ticket);
    expect(await getTicketAsOf(fixture.database, id, String(commented.tid))).toEqual(commented.ticket);
    expect(await getTicketAsOf(fixture.database, id, commented.ticket.changed)).toEqual(commented.ticket);
    const { code } = await refusal(getTicketAsOf(fixture.database, id, String(await fixture.head())));
    expect(code).toBe('not_found');
  });
});
