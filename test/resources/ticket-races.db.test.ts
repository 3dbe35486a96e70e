import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type DatabaseError, KernelError } from '#libs/database';
import { createKernel } from '#libs/kernel';
import { batchTickets, defaultWorkflow, deleteTicket, getTicket, patchTicket, resources } from '#libs/resources';
import { joe, type TicketFixture, ticketFixture } from './ticket-fixture.ts';

let fixture: TicketFixture;

beforeAll(async () => {
  fixture = await ticketFixture();
});
afterAll(() => fixture?.close());

const times = <T>(count: number, work: (n: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, n) => work(n)));
const outcome = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof KernelError ? error.code : String((error as DatabaseError).message)),
  );
/** Another process, as far as tickets are concerned. */
const otherKernel = () =>
  createKernel({ database: fixture.database, resources, log: { debug() {}, info() {}, warn() {}, error() {} } });

describe('comments at once', () => {
  it('of twenty, from two processes, each gets a number of its own and none is lost', async () => {
    const id = await fixture.open();
    const kernels = [fixture.kernel, otherKernel()];
    const made = await times(20, (n) => patchTicket(kernels[n % 2] as never, joe, id, { comment: `comment ${n}` }));
    expect(made.map(({ ticket }) => ticket.comments).sort((a, b) => a - b)).toEqual(
      [...Array(20).keys()].map((n) => n + 1),
    );
    const comments = await fixture.comments(id);
    expect(comments.map(({ number }) => number)).toEqual([...Array(20).keys()].map((n) => n + 1));
    for (const { ticket } of made) {
      const { comment } = (
        await fixture.database.query('SELECT comment FROM ticket_journal WHERE tid = $1', [ticket.tid])
      ).rows[0] as { comment: string };
      expect(comments[ticket.comments - 1]?.text).toBe(comment);
    }
    expect((await getTicket(fixture.database, id)).row_version).toBe(21);
  });

  it('and the deletion of their ticket leave comments of no ticket, and no error but that it is gone', async () => {
    for (let round = 0; round < 10; round++) {
      const id = await fixture.open();
      const outcomes = await times(6, (n) =>
        outcome(
          n === 3 ? deleteTicket(fixture.kernel, joe, id) : patchTicket(fixture.kernel, joe, id, { comment: `${n}` }),
        ),
      );
      expect(outcomes[3]).toBe('done');
      expect(outcomes.filter((each) => each !== 'done' && each !== 'not_found')).toEqual([]);
      expect(await fixture.comments(id)).toEqual([]);
    }
    expect((await fixture.database.query(`SELECT * FROM tidemark.drift('ticket_comment')`)).rows).toEqual([]);
  });
});

describe('changes of status at once', () => {
  it('go only where the workflow allows, judged by the change before', async () => {
    const id = await fixture.open();
    const tids: (number | null)[] = [];
    const actions = ['accept', 'reassign', 'resolve', 'reopen'];
    const outcomes = await times(60, (n) => {
      const action = actions[n % 4] as string;
      const owner = action === 'reassign' ? { owner: `ann${n}` } : {};
      const work = patchTicket(fixture.kernel, joe, id, { action, ...owner });
      return outcome(work.then(({ tid }) => tids.push(tid)));
    });
    expect(new Set(outcomes)).toEqual(new Set(['done', 'invalid']));
    const changes = await fixture.journal(id);
    expect(changes.slice(1).map(({ tid }) => tid)).toEqual(tids.filter((tid) => tid !== null).sort((a, b) => a - b));
    let status = changes[0]?.fields['status'] as string;
    for (const { fields } of changes.slice(1)) {
      const to = (fields['status'] as string | undefined) ?? status;
      const legal = defaultWorkflow.actions.some(
        (action) => action.name !== 'leave' && action.to === to && action.from.includes(status),
      );
      expect({ status, to, legal }).toMatchObject({ legal: true });
      status = to;
    }
  });

  it('of many that resolve under one version one wins, and the rest learn of it', async () => {
    const id = await fixture.open();
    const condition = { kind: 'version' as const, tags: [`${id}-1`] };
    const outcomes = await times(12, (n) =>
      outcome(patchTicket(fixture.kernel, joe, id, { action: 'resolve', owner: `${n}` }, condition)),
    );
    expect(outcomes.sort()).toEqual(['done', ...Array(11).fill('stale')]);
  });
});

describe('batches beside single changes', () => {
  it('of which no deadlock reaches a caller, and each is there as a whole', async () => {
    const ids = await times(30, () => fixture.open());
    const backwards = ids.toReversed();
    const work = await times(60, async (n) => {
      if (n % 6 === 0) {
        const some = n % 12 === 0 ? ids : backwards;
        return outcome(batchTickets(fixture.kernel, joe, { ids: some, set: { milestone: `m${n}` }, comment: `b${n}` }));
      }
      const id = ids[(n * 7) % 30] as string;
      return outcome(patchTicket(fixture.kernel, joe, id, n % 2 ? { owner: `o${n}` } : { comment: `c${n}` }));
    });
    expect(new Set(work)).toEqual(new Set(['done']));
    const { rows } = await fixture.database.query<{ comment: string; tids: number; tickets: number; comments: number }>(
      `SELECT j.comment, count(DISTINCT j.tid)::int AS tids, count(*) FILTER (WHERE j.resource = 'ticket')::int AS tickets,
           count(*) FILTER (WHERE j.resource = 'ticket_comment')::int AS comments
         FROM tidemark.journal j WHERE j.comment LIKE 'b%' GROUP BY j.comment ORDER BY 1`,
    );
    expect(rows).toHaveLength(10);
    for (const row of rows) expect(row).toMatchObject({ tids: 1, tickets: 30, comments: 30 });
    const milestones = await fixture.database.query(
      'SELECT DISTINCT milestone FROM ticket WHERE id = ANY ($1::bigint[])',
      [ids],
    );
    expect(milestones.rows).toHaveLength(1);
    const gaps = await fixture.database.query(
      `SELECT FROM ticket t WHERE comments <> (SELECT count(*) FROM ticket_comment WHERE ticket_id = t.id)`,
    );
    expect(gaps.rows).toEqual([]);
  });
});
