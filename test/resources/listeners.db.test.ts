import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { createKernel, type Kernel } from '#libs/kernel';
import {
  batchTickets,
  type CalledAs,
  createTicket,
  deletePage,
  deleteTicket,
  patchTicket,
  putPage,
  renamePage,
  resources,
  type TicketListener,
  ticketListener,
  type WikiListener,
  wikiListener,
} from '#libs/resources';
import { settled } from '#libs/testing';
import { RecordedLog } from '../dispatch/harness.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { PATIENTLY, waitUntil } from '../support/wait-until.ts';

let test: TestDatabase;
let owner: Database;
let app: Database;
let kernels: Kernel[];
const joe = { author: 'joe' };

beforeEach(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl, poolSize: 2 });
  app = Database.open({ url: test.url, poolSize: 20 });
  kernels = [];
});
afterEach(async () => {
  await Promise.all(kernels.map((kernel) => kernel.stop()));
  await Promise.all([owner.close(), app.close()]);
  await test.drop();
});

/** A process with listeners that record what they are told. */
async function start(
  as: CalledAs,
  more: WikiListener & TicketListener = {},
): Promise<{ kernel: Kernel; told: string[] }> {
  const told: string[] = [];
  const kernel = createKernel({ database: app, resources, log: new RecordedLog() });
  kernel.listen(wikiListener(app, { name: 'pages', as, ...pagesInto(told), ...more }));
  kernel.listen(ticketListener(app, { name: 'tickets', as, ...ticketsInto(told), ...more }));
  await kernel.start();
  kernels.push(kernel);
  return { kernel, told };
}

function pagesInto(told: string[]): WikiListener {
  return {
    pageAdded: (page) => void told.push(`added ${page.name}: ${page.text}`),
    pageChanged: (page, old) => void told.push(`changed ${page.name} ${page.version}: ${JSON.stringify(old)}`),
    pageDeleted: (page) => void told.push(`deleted ${page.name}: ${page.text}`),
    pageRenamed: (page, oldName, { change }) =>
      void told.push(`renamed ${oldName} to ${page.name} by ${change.author}`),
  };
}

function ticketsInto(told: string[]): TicketListener {
  return {
    ticketCreated: ({ id, summary }) => void told.push(`created ${id}: ${summary}`),
    ticketChanged: ({ id, status }, comment, author, old) =>
      void told.push(`changed ${id} (${status}) by ${author}: ${comment} ${JSON.stringify(old)}`),
    ticketDeleted: ({ id, summary }) => void told.push(`deleted ${id}: ${summary}`),
    ticketCommented: ({ id }, { number, old, text }) => void told.push(`commented ${id}.${number}: ${old} -> ${text}`),
  };
}

const told = (list: string[], count: number) => waitUntil(() => list.length >= count, `${count} calls: ${list.length}`);

describe('a listener for pages', () => {
  it('is told of pages that are added, changed, renamed and deleted, as they were then', async () => {
    const { kernel, told: list } = await start('primary');
    await putPage(kernel, joe, 'Home', { text: 'one' });
    await putPage(kernel, joe, 'Home', { text: 'two' });
    await renamePage(kernel, joe, 'Home', { to: 'Start' });
    await putPage(kernel, joe, 'Start', { text: 'two', readonly: true });
    await deletePage(kernel, joe, 'Start');
    await told(list, 5);
    expect(list).toEqual([
      'added Home: one',
      'changed Home 2: {"text":"one"}',
      'renamed Home to Start by joe',
      'changed Start 2: {"readonly":false}',
      'deleted Start: two',
    ]);
  });

  it('is told of one change by one call, also when it changes name and text', async () => {
    const { kernel, told: list } = await start('primary');
    await owner.query(`INSERT INTO wiki (name, text) VALUES ('A', 'one'); UPDATE wiki SET name = 'B', text = 'two'`);
    await told(list, 2);
    await settled(kernel, PATIENTLY);
    expect(list).toEqual(['added A: one', expect.stringMatching(/^renamed A to B by /)]);
  });
});

describe('a listener for tickets', () => {
  it('is told of fields and of the comment made with them by one call, and of a comment alone as such', async () => {
    const { kernel, told: list } = await start('primary');
    const { id } = (await createTicket(kernel, joe, { summary: 'broken', custom: { hours: 3 } })).ticket;
    await patchTicket(kernel, { author: 'alice' }, id, { owner: 'joe', custom: { hours: 4 }, comment: 'yours' });
    await patchTicket(kernel, joe, id, { comment: 'thanks' });
    await patchTicket(kernel, joe, id, { priority: 'minor' });
    await deleteTicket(kernel, joe, id);
    await told(list, 5);
    await settled(kernel, PATIENTLY);
    expect(list).toEqual([
      `created ${id}: broken`,
      `changed ${id} (new) by alice: yours {"custom.hours":3,"owner":""}`,
      `commented ${id}.2: null -> thanks`,
      `changed ${id} (new) by joe: null {"priority":"major"}`,
      `deleted ${id}: broken`,
    ]);
  });

  it('is told of comments that were written, edited and deleted past their ticket', async () => {
    const { kernel, told: list } = await start('primary');
    const { id } = (await createTicket(kernel, joe, { summary: 'broken' })).ticket;
    await owner.query(`INSERT INTO ticket_comment VALUES (${id}, 1, 'one')`);
    await told(list, 2);
    await owner.query(`UPDATE ticket_comment SET text = 'two'`);
    await told(list, 3);
    await owner.query('DELETE FROM ticket_comment');
    await told(list, 4);
    await owner.query(`UPDATE ticket SET comments = 9`);
    await owner.query(
      `BEGIN; UPDATE ticket SET comments = 10; INSERT INTO ticket_comment VALUES (${id}, 10, 'ten'); COMMIT`,
    );
    await told(list, 5);
    await settled(kernel, PATIENTLY);
    expect(list.slice(1)).toEqual([
      `commented ${id}.1: null -> one`,
      `commented ${id}.1: one -> two`,
      `commented ${id}.1: two -> null`,
      `commented ${id}.10: null -> ten`,
    ]);
  });

  it('hears nothing of the comments of a deleted ticket, and of each ticket of a batch', async () => {
    const { kernel, told: list } = await start('primary');
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) ids.push((await createTicket(kernel, joe, { summary: `no ${n}` })).ticket.id);
    await batchTickets(kernel, joe, { ids, set: { priority: 'minor' }, comment: 'all' });
    await owner.query('DELETE FROM ticket');
    await told(list, 9);
    await settled(kernel, PATIENTLY);
    // in order for each ticket, not among them
    expect(list.toSorted()).toEqual(
      [
        ...ids.map((id, n) => `created ${id}: no ${n}`),
        ...ids.map((id) => `changed ${id} (new) by joe: all {"priority":"major"}`),
        ...ids.map((id, n) => `deleted ${id}: no ${n}`),
      ].sort(),
    );
  });
});

describe('where a listener is called', () => {
  it('primary: in one process; secondary: in the others; everywhere: once in each', async () => {
    const all = await Promise.all(
      (['primary', 'primary', 'secondary', 'secondary', 'everywhere', 'everywhere'] as const).map((as) => start(as)),
    );
    const [one, two, three, four, five, six] = all;
    await putPage(one?.kernel as Kernel, joe, 'A', { text: '1' });
    await putPage(three?.kernel as Kernel, joe, 'B', { text: '1' });
    await putPage(five?.kernel as Kernel, joe, 'C', { text: '1' });
    await owner.query(`INSERT INTO wiki (name, text) VALUES ('D', '1')`);
    const names = (process: typeof one) => process?.told.map((line) => line[6]).join('');
    await waitUntil(() => [five, six].every((process) => names(process) === 'ABCD'), 'both have heard of all');
    await waitUntil(() => names(three) === 'ACD' && names(four) === 'ABCD', 'the secondaries have heard');
    expect(names(one)?.replace(/[^A]/g, '')).toBe('A');
    await waitUntil(() => `${names(one)}${names(two)}`.includes('D'), 'one has adopted it');
    expect(`${names(one)}${names(two)}`.replace(/[^AD]/g, '')).toHaveLength(2);
  });

  it('a listener that is slow or throws delays no other, and hears of the changes of one page in order', async () => {
    const slow: string[] = [];
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const { kernel: quick, told: list } = await start('everywhere');
    const kernel = createKernel({ database: app, resources, log: new RecordedLog() });
    kernel.listen(
      wikiListener(app, {
        name: 'slow',
        pageChanged: async (page, _old, { effect }) => {
          await gate;
          if (effect?.attempt === 1 && page.version === 3) throw new Error('once');
          slow.push(`${page.name} ${page.version}`);
        },
      }),
    );
    await kernel.start();
    kernels.push(kernel);
    for (const text of ['1', '2', '3', '4']) await putPage(kernel, joe, 'A', { text });
    await told(list, 4);
    expect([slow, list.length]).toEqual([[], 4]);
    open();
    await waitUntil(() => slow.length === 3, 'the slow one has heard of all', 30_000);
    expect(slow).toEqual(['A 2', 'A 4', 'A 3']);
    await settled([kernel, quick], { timeout: 20_000 });
  });
});
