import { Database, KernelError } from '#libs/database';
import type { Log } from '#libs/dispatch';
import { createKernel, type Kernel } from '#libs/kernel';
import { createTicket, type NewTicket, resources } from '#libs/resources';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
export const joe = { author: 'joe', ipnr: '10.0.0.1', authenticated: true };

export interface TicketFixture {
  readonly test: TestDatabase;
  readonly database: Database;
  readonly kernel: Kernel;
  /** Opens a ticket and returns its id. */
  open(fields?: Partial<NewTicket>): Promise<string>;
  /** The changes of a ticket's row, oldest first: the change and the new values of its fields. */
  journal(id: string): Promise<{ tid: number; change: string; author: string; fields: Record<string, unknown> }[]>;
  comments(id: string): Promise<{ number: number; text: string }[]>;
  head(): Promise<number>;
  close(): Promise<void>;
}

/** A database with tickets and a kernel over it. */
export async function ticketFixture(): Promise<TicketFixture> {
  const test = await testDatabase();
  const database = Database.open({ url: test.url });
  const kernel = createKernel({ database, resources, log: silent });
  return {
    ...{ test, database, kernel },
    open: async (fields = {}) =>
      (await createTicket(kernel, joe, { summary: 'It does not work', ...fields })).ticket.id,
    async journal(id) {
      const { rows } = await database.query<{ tid: string; change: string; author: string; fields: object | null }>(
        `SELECT j.tid, j.change, j.author, (SELECT json_object_agg(field, value) FROM ticket_history h
             WHERE h.tid = j.tid AND h.id = j.id) AS fields
           FROM ticket_journal j WHERE j.id = $1 ORDER BY j.tid`,
        [id],
      );
      return rows.map(({ tid, fields, ...row }) => ({ ...row, tid: Number(tid), fields: { ...fields } }));
    },
    async comments(id) {
      const { rows } = await database.query<{ number: number; text: string }>(
        'SELECT number, text FROM ticket_comment WHERE ticket_id = $1 ORDER BY number',
        [id],
      );
      return rows;
    },
    async head() {
      const { rows } = await database.query<{ tid: string }>('SELECT max(tid) AS tid FROM tidemark.journal');
      return Number(rows[0]?.tid ?? 0);
    },
    async close() {
      await database.close();
      await test.drop();
    },
  };
}

/** The KernelError that something is refused with. */
export async function refusal(work: Promise<unknown>): Promise<KernelError> {
  const error = await work.then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof KernelError) return error;
  throw error;
}
