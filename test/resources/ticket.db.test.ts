import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { batchTickets, createTicket, deleteTicket, getTicket, patchTicket, type TicketPatch } from '#libs/resources';
import { joe, refusal, type TicketFixture, ticketFixture } from './ticket-fixture.ts';

let fixture: TicketFixture;

beforeAll(async () => {
  fixture = await ticketFixture();
});
afterAll(() => fixture?.close());

const patch = (id: string, change: TicketPatch) => patchTicket(fixture.kernel, joe, id, change);

describe('createTicket', () => {
  it('gives every field but the summary a default, and the author as reporter', async () => {
    const { tid, ticket } = await createTicket(fixture.kernel, joe, { summary: ' It does not work ' });
    expect(ticket).toEqual({
      ...{ id: ticket.id, summary: 'It does not work', description: '', type: 'defect', status: 'new', resolution: '' },
      ...{ priority: 'major', severity: 'normal', component: '', milestone: '', version_affected: '', owner: '' },
      ...{ reporter: 'joe', cc: '', keywords: '', custom: {}, comments: 0, tid, row_version: 1 },
      ...{ created: expect.stringMatching(/Z$/), changed: ticket.created },
    });
    expect(await getTicket(fixture.database, ticket.id)).toEqual(ticket);
    const { rows } = await fixture.database.query(`INSERT INTO ticket (summary) VALUES ('By SQL') RETURNING id`);
    const bySql = await getTicket(fixture.database, String(rows[0]?.['id']));
    const { id, summary, reporter, created, changed, tid: _, ...defaults } = ticket;
    expect(bySql).toMatchObject({ ...defaults, reporter: '' });
  });

  it('keeps the lines of a description, and lists as one form', async () => {
    const { ticket } = await createTicket(fixture.kernel, joe, {
      ...{ summary: 'Lists', description: ' two\nlines \n', keywords: 'disk  full' },
      cc: 'joe; alice,bob,, joe carol ;',
    });
    expect(ticket).toMatchObject({
      description: ' two\nlines \n',
      keywords: 'disk, full',
      cc: 'joe, alice, bob, carol',
    });
  });

  it('begins where the workflow begins, and nowhere else', async () => {
    const refused = await refusal(
      createTicket(fixture.kernel, joe, { summary: 'x', status: 'closed', resolution: 'fixed' }),
    );
    expect(refused.errors).toEqual([
      { path: 'status', message: 'a new ticket can be new or assigned, not "closed"' },
      { path: 'resolution', message: 'a new ticket has no resolution' },
    ]);
  });
});

describe('patchTicket', () => {
  it('changes what is given and answers the ticket as it is read afterwards', async () => {
    const id = await fixture.open({ description: 'before' });
    const { tid, ticket } = await patch(id, { description: 'after', priority: 'minor', custom: { points: 3 } });
    expect(ticket).toMatchObject({
      description: 'after',
      priority: 'minor',
      custom: { points: 3 },
      tid,
      row_version: 2,
    });
    expect(ticket.changed > ticket.created).toBe(true);
    expect(await getTicket(fixture.database, id)).toEqual(ticket);
    expect((await fixture.journal(id)).slice(1)).toMatchObject([{ tid, change: 'MODIFY', author: 'joe' }]);
  });

  it('with nothing new changes nothing and draws no tid', async () => {
    const id = await fixture.open({ owner: 'ann', custom: { a: [1] } });
    const head = await fixture.head();
    for (const same of [
      {},
      { owner: ' ann' },
      { comment: ' \n' },
      { custom: { a: [1], gone: null } },
      { status: 'new' },
    ]) {
      expect(await patch(id, same)).toEqual({ tid: null, ticket: await getTicket(fixture.database, id) });
    }
    expect(await fixture.head()).toBe(head);
  });

  it('a comment alone is a change of the ticket, in one tid with its text', async () => {
    const id = await fixture.open();
    const { tid, ticket } = await patch(id, { comment: 'I have seen it, too.\n' });
    expect(ticket).toMatchObject({ comments: 1, row_version: 2 });
    expect(await fixture.comments(id)).toEqual([{ number: 1, text: 'I have seen it, too.\n' }]);
    const { rows } = await fixture.database.query(
      'SELECT resource, id, change, comment FROM tidemark.journal WHERE tid = $1 ORDER BY resource',
      [tid],
    );
    expect(rows).toEqual([
      { resource: 'ticket', id, change: 'MODIFY', comment: 'I have seen it, too.\n' },
      { resource: 'ticket_comment', id: `[${id},1]`, change: 'CREATE', comment: 'I have seen it, too.\n' },
    ]);
  });

  it('merges custom fields key by key, and null removes one', async () => {
    const id = await fixture.open({ custom: { a: 1, b: { deep: [true, null] } } });
    await patch(id, { custom: { 'a.b': 'dots', a: null, constructor: 'c', '☃': '' } });
    const { ticket } = await patch(id, { custom: { b: 2, toString: 0 } });
    expect(ticket.custom).toEqual({ b: 2, 'a.b': 'dots', constructor: 'c', '☃': '', toString: 0 });
    expect(await getTicket(fixture.database, id)).toEqual(ticket);
  });

  it('keeps every digit of a custom field that it does not touch', async () => {
    const id = await fixture.open();
    await fixture.database.query(`UPDATE ticket SET custom = '{"n": 12345678901234567890.10}' WHERE id = $1`, [id]);
    await patch(id, { custom: { other: 1 } });
    const { rows } = await fixture.database.query('SELECT custom::text AS custom FROM ticket WHERE id = $1', [id]);
    expect(rows).toEqual([{ custom: '{"n": 12345678901234567890.10, "other": 1}' }]);
  });

  it('numbers on after comments that were written past the ticket', async () => {
    const id = await fixture.open();
    await fixture.database.query(`INSERT INTO ticket_comment VALUES ($1, 1, 'by SQL'), ($1, 2, 'too')`, [id]);
    const { ticket } = await patch(id, { comment: 'three' });
    expect(ticket.comments).toBe(3);
    expect((await fixture.comments(id)).map(({ number }) => number)).toEqual([1, 2, 3]);
  });

  it('is refused for an id that no ticket has', async () => {
    for (const id of ['999999999', '0', '-1', '1.5', 'seven', '', '01', '9223372036854775808', '1'.repeat(5000)]) {
      expect(await refusal(patch(id, { owner: 'joe' }))).toMatchObject({ code: 'not_found' });
    }
  });
});

describe('a condition', () => {
  it('holds at the version it names, and the refusal tells the version that stands', async () => {
    const id = await fixture.open();
    const version = (tags: string[]) => ({ kind: 'version' as const, tags });
    const by = (change: TicketPatch, tags: string[]) => patchTicket(fixture.kernel, joe, id, change, version(tags));
    await by({ owner: 'ann' }, [`${id}-7`, `${id}-1`]);
    const refused = await refusal(by({ owner: 'bob' }, [`${id}-1`]));
    expect(refused).toMatchObject({ code: 'stale', version: `${id}-2` });
    await by({ comment: 'counts, too' }, [`${id}-2`]);
    expect(await refusal(by({ owner: 'bob' }, [`${id}-2`]))).toMatchObject({ code: 'stale', version: `${id}-3` });
    expect(await refusal(patchTicket(fixture.kernel, joe, id, {}, { kind: 'absent' }))).toMatchObject({
      code: 'stale',
    });
    expect(await refusal(deleteTicket(fixture.kernel, joe, id, version([`${id}-2`])))).toMatchObject({ code: 'stale' });
    await deleteTicket(fixture.kernel, joe, id, version([`${id}-3`]));
    expect(await refusal(by({ owner: 'bob' }, [`${id}-3`]))).toMatchObject({ code: 'not_found' });
    expect(await refusal(deleteTicket(fixture.kernel, joe, id, version(['1'])))).toMatchObject({ code: 'not_found' });
  });
});

describe('inside a larger transaction', () => {
  it('changes commit together, each seeing those before it, and a refusal undoes all', async () => {
    const id = await fixture.open();
    const both = await fixture.kernel.atomic(async (writer) => {
      await patchTicket(writer, joe, id, { comment: 'one', status: 'accepted' });
      return patchTicket(writer, joe, id, { comment: 'two', action: 'resolve' });
    });
    expect(both.ticket).toMatchObject({ status: 'closed', resolution: 'fixed', comments: 2, row_version: 3 });
    expect(await getTicket(fixture.database, id)).toEqual(both.ticket);
    const refused = fixture.kernel.atomic(async (writer) => {
      await patchTicket(writer, joe, id, { action: 'reopen' });
      return patchTicket(writer, joe, id, { status: 'nowhere' });
    });
    expect((await refusal(refused)).code).toBe('invalid');
    expect(await getTicket(fixture.database, id)).toEqual(both.ticket);
  });
});

describe('batchTickets', () => {
  it('changes 500 tickets that differ under one tid, each as it needs', async () => {
    const { rows } = await fixture.database.query<{ id: string }>(
      `INSERT INTO ticket (summary, custom) SELECT 'n ' || n, jsonb_build_object('n', n) FROM generate_series(1, 500) n
         RETURNING id`,
    );
    const ids = rows.map(({ id }) => String(id)).reverse();
    await patch(ids[7] as string, { action: 'resolve', resolution: 'wontfix', comment: 'no' });
    const { tid, changed } = await batchTickets(fixture.kernel, joe, {
      ids,
      set: { status: 'closed', custom: { batch: true } },
      comment: 'closing all',
    });
    expect(changed).toEqual(ids);
    const journaled = await fixture.database.query(
      `SELECT count(*) FILTER (WHERE resource = 'ticket')::int AS tickets, count(*)::int AS all,
         count(DISTINCT author)::int AS authors FROM tidemark.journal WHERE tid = $1`,
      [tid],
    );
    expect(journaled.rows).toEqual([{ tickets: 500, all: 1000, authors: 1 }]);
    const after = await fixture.database.query(
      `SELECT resolution, count(*)::int AS n, max(comments) AS comments FROM ticket
         WHERE id = ANY ($1::bigint[]) AND custom ->> 'batch' = 'true' AND custom ? 'n' GROUP BY 1 ORDER BY 1`,
      [ids],
    );
    expect(after.rows).toEqual([
      { resolution: 'fixed', n: 499, comments: 1 },
      { resolution: 'wontfix', n: 1, comments: 2 },
    ]);
    for (const resource of ['ticket', 'ticket_comment']) {
      expect((await fixture.database.query('SELECT * FROM tidemark.drift($1)', [resource])).rows).toEqual([]);
    }
    const again = await batchTickets(fixture.kernel, joe, { ids, set: { status: 'closed', custom: { batch: true } } });
    expect(again).toEqual({ tid: null, changed: [], unchanged: ids });
  });

  it('knows custom fields again whose names the database has put in another order', async () => {
    const ids = [await fixture.open(), await fixture.open()];
    const set = { custom: { sizes: { width: 2, b: 1 } } };
    expect((await batchTickets(fixture.kernel, joe, { ids, set })).changed).toEqual(ids);
    expect(await batchTickets(fixture.kernel, joe, { ids, set })).toEqual({ tid: null, changed: [], unchanged: ids });
  });

  it('takes 1 to 500 ids', async () => {
    for (const ids of [[], Array.from({ length: 501 }, (_, n) => String(n + 1))]) {
      const refused = await refusal(batchTickets(fixture.kernel, joe, { ids, set: {} }));
      expect(refused).toMatchObject({ code: 'invalid', errors: [{ path: 'ids' }] });
    }
  });
});

describe('the table itself', () => {
  const sql = (text: string) =>
    fixture.database.query(text).then(
      () => 'done',
      (error: { constraint?: string; code?: string }) => error.constraint ?? error.code,
    );

  it('refuses in SQL what a ticket cannot be', async () => {
    expect(await sql(`INSERT INTO ticket (summary) VALUES (' ')`)).toBe('ticket_summary');
    expect(await sql(`INSERT INTO ticket (summary, custom) VALUES ('x', '[]')`)).toBe('ticket_custom');
    expect(await sql(`INSERT INTO ticket (summary, comments) VALUES ('x', -1)`)).toBe('ticket_comments');
    expect(await sql(`INSERT INTO ticket_comment VALUES (999999999, 1, 'x')`)).toBe('ticket_comment_ticket_id_fkey');
    expect(await sql(`INSERT INTO ticket (id, summary) VALUES (900000001, 'with its old number')`)).toBe('done');
  });
});
