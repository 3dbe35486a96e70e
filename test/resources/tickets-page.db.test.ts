import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { createTicket, defaultWorkflow, FIELD_RULES, type Operation, TEXT_FIELDS } from '#libs/resources';
import { repositoryRoot } from '../support/repository-root.ts';
import { joe, type TicketFixture, ticketFixture } from './ticket-fixture.ts';

const page = readFileSync(join(repositoryRoot(), 'docs/tickets.md'), 'utf8');
let fixture: TicketFixture;

beforeAll(async () => {
  fixture = await ticketFixture();
});
afterAll(() => fixture?.close());

/** The rows of the table whose first column has this title, without what stands beyond some columns. */
function table(title: string, columns: number): string[][] {
  const lines = page.slice(page.indexOf(`| ${title} |`)).split('\n');
  const rows = lines.slice(
    2,
    lines.findIndex((line) => !line.startsWith('|')),
  );
  return rows.map((line) =>
    line
      .split('|')
      .slice(1, columns + 1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
}

it('docs/tickets.md has a row for each field, with its default and its limit', async () => {
  const { ticket } = await createTicket(fixture.kernel, joe, { summary: 'x' });
  const known: Record<string, string> = { ...ticket, summary: '', reporter: 'the author' } as never;
  const shown = (field: string) => (known[field] === '' && field !== 'summary' ? '""' : known[field]);
  expect(table('field', 3)).toEqual(
    TEXT_FIELDS.map((field) => [field, shown(field), String(FIELD_RULES[field].limit)]),
  );
});

it('docs/tickets.md has a row for each action of the workflow', () => {
  const sets = (operation: Operation) =>
    operation.kind === 'set_resolution'
      ? `the resolution: ${operation.options.map((one) => (one === operation.default ? `${one} (default)` : one)).join(', ')}`
      : {
          ...{ set_owner: 'the owner, to be given', owner_to_self: 'the owner to the caller', clear_owner: 'no owner' },
          clear_resolution: 'no resolution',
        }[operation.kind];
  expect(table('action', 5)).toEqual(
    defaultWorkflow.actions.map(({ name, from, to, operations, permission }) => [
      ...[name, from === '*' ? 'any' : from.join(', '), to === '*' ? 'the same' : to],
      ...[operations.map(sets).join('; '), permission],
    ]),
  );
});

it('the statement that lets ids go on after those of another tracker does', async () => {
  await fixture.database.query(`INSERT INTO ticket (id, summary) VALUES (5000, 'old')`);
  const statement = /`(SELECT setval\(.*)`/.exec(page)?.[1] as string;
  const owner = Database.open({ url: fixture.test.ownerUrl, poolSize: 1 });
  await owner.query(statement);
  await owner.close();
  expect(await fixture.open()).toBe('5001');
});
