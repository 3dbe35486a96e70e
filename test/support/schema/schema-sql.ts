import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Database, type Queryable } from '#libs/database';
import { ownServer } from '../own-server.ts';
import { repositoryRoot } from '../repository-root.ts';
import {
  type Described,
  selectFunctions,
  selectGrants,
  selectIndexes,
  selectSequences,
  selectTables,
  selectTriggers,
  selectUndescribed,
} from './schema.queries.ts';

export const schemaFile = join(repositoryRoot(), 'migrations/schema.sql');

const HEAD = `-- What the migrations make of an empty database: for reading and for review, not for loading. Written by "npm run schema" from
-- the catalogs of PostgreSQL, of any version that Tidemark runs on; a test fails while it is not current.
`;

/** The schema of a migrated database as text that depends on nothing but the migrations. Throws when there is something in it that this cannot describe. */
export async function schemaSql(db: Queryable): Promise<string> {
  const undescribed = await selectUndescribed(db);
  if (undescribed.length > 0) throw new Error(`schema-sql.ts does not describe: ${undescribed.join(', ')}`);
  const belonging = [...(await selectIndexes(db)), ...(await selectTriggers(db))];
  const tables = (await selectTables(db)).map(({ name, statement }) =>
    [statement, ...statementsOf(name, belonging)].map((text) => `${text};`).join('\n'),
  );
  const sections = [
    ...(await selectSequences(db)).map(({ statement }) => `${statement};`),
    ...tables,
    ...(await selectFunctions(db)).map(({ statement }) => `${statement};`),
    (await selectGrants(db)).map(({ statement }) => `${statement};`).join('\n'),
  ];
  return `${HEAD}\n${sections.join('\n\n')}\n`;
}

function statementsOf(table: string, belonging: readonly Described[]): string[] {
  return belonging.filter(({ name }) => name === table).map(({ statement }) => statement);
}

async function write(): Promise<void> {
  const server = await ownServer();
  const owner = Database.open({ url: server.ownerUrl, poolSize: 1 });
  try {
    writeFileSync(schemaFile, await schemaSql(owner));
  } finally {
    await owner.close();
    await server.stop();
  }
}

if (process.argv[1] === import.meta.filename) await write();
