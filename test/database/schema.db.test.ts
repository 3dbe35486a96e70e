import { readFileSync } from 'node:fs';
import { expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { schemaFile, schemaSql } from '../support/schema/schema-sql.ts';
import { testDatabase } from '../support/test-database.ts';

it('migrations/schema.sql is what the migrations make (npm run schema renews it)', async () => {
  const database = await testDatabase();
  const owner = Database.open({ url: database.ownerUrl, poolSize: 1 });
  try {
    expect(await schemaSql(owner)).toBe(readFileSync(schemaFile, 'utf8'));
  } finally {
    await owner.close();
    await database.drop();
  }
});

it('a change of a column, a default, an index, a trigger, a body or a right changes it', async () => {
  const database = await testDatabase();
  const owner = Database.open({ url: database.ownerUrl, poolSize: 1 });
  try {
    const seen = new Set([await schemaSql(owner)]);
    const statements = [
      'ALTER TABLE wiki ADD COLUMN note text',
      `ALTER TABLE wiki ALTER COLUMN note SET DEFAULT 'x'`,
      'ALTER TABLE wiki ALTER COLUMN note SET NOT NULL',
      'ALTER TABLE wiki ADD CONSTRAINT short CHECK (length(note) < 9)',
      'CREATE INDEX wiki_note ON wiki (note)',
      'ALTER TABLE wiki DISABLE TRIGGER tidemark_insert',
      `CREATE OR REPLACE FUNCTION tidemark.place() RETURNS text LANGUAGE sql AS 'SELECT NULL'`,
      'GRANT SELECT (place) ON tidemark.epoch TO tidemark_app',
      'GRANT UPDATE ON tidemark.epoch TO tidemark_app',
      'GRANT EXECUTE ON FUNCTION tidemark.draw_tid() TO PUBLIC',
      'ALTER SEQUENCE tidemark.tid CACHE 10',
    ];
    for (const [n, statement] of statements.entries()) {
      await owner.query(statement);
      seen.add(await schemaSql(owner));
      expect([statement, seen.size]).toEqual([statement, n + 2]);
    }
    await owner.query('CREATE VIEW pages AS SELECT name FROM wiki');
    await expect(schemaSql(owner)).rejects.toThrow('does not describe: pages of kind v');
  } finally {
    await owner.close();
    await database.drop();
  }
});
