import 'reflect-metadata';
import type { INestApplicationContext, ModuleMetadata } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Database } from '#libs/database';
import type { Log } from '#libs/dispatch';
import { defineResource } from '#libs/journal';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';

export interface Order {
  id: number;
  customer: string;
  status: string;
}

export const order = defineResource<Order>({ name: 'shop_order' });

export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A migrated database with a shop's table. */
export async function shopDatabase(): Promise<TestDatabase> {
  const test = await testDatabase();
  const owner = Database.open({ url: test.ownerUrl, poolSize: 1 });
  await owner.query(`
    CREATE TABLE shop_order (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL, status text NOT NULL DEFAULT 'open'
    );
    SELECT tidemark.journal_table('shop_order', row_version => true);
    GRANT SELECT, INSERT, UPDATE, DELETE ON shop_order TO tidemark_app`);
  await owner.close();
  return test;
}

const quiet = { log() {}, warn() {}, error() {} };

/** Starts an application of some modules and providers. When it does not start, nothing of it is left. */
export async function start(metadata: ModuleMetadata): Promise<INestApplicationContext> {
  const app = await Test.createTestingModule(metadata).setLogger(quiet).compile();
  try {
    return await app.init();
  } catch (error) {
    await app.close();
    throw error;
  }
}
