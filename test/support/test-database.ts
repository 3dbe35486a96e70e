import { randomBytes } from 'node:crypto';
import { Database, migrate, migrationsFolder } from '#libs/database';

export interface TestDatabase {
  readonly url: string;
  readonly ownerUrl: string;
  readonly name: string;
  drop(): Promise<void>;
}

export async function testDatabase(options: { migrated?: boolean } = {}): Promise<TestDatabase> {
  const base = process.env['TEST_DATABASE_URL'] as string;
  const name = `tidemark_test_${randomBytes(6).toString('hex')}`;
  const admin = Database.open({ url: base, poolSize: 1 });
  await admin.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8'`);
  const ownerUrl = new URL(base);
  ownerUrl.pathname = name;
  if (options.migrated !== false) await migrate(ownerUrl.href, [migrationsFolder]);
  await admin.query(
    `DO $$ BEGIN CREATE ROLE tm_test_app LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`,
  );
  await admin.query('GRANT tidemark_app TO tm_test_app').catch(() => undefined);
  const url = new URL(ownerUrl.href);
  url.username = 'tm_test_app';
  return {
    ...{ url: url.href, ownerUrl: ownerUrl.href, name },
    async drop() {
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.close();
    },
  };
}
