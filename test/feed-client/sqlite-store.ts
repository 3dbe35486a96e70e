import { DatabaseSync } from 'node:sqlite';
import type { Change, Store } from './feed-client.ts';

/** A list of all changes, in a file of SQLite: in place of the list stands whatever a client makes of them. */
export class SqliteStore implements Store {
  readonly #db: DatabaseSync;

  constructor(file: string) {
    this.#db = new DatabaseSync(file, { timeout: 5_000 });
    this.#db.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      CREATE TABLE IF NOT EXISTS seen (n INTEGER PRIMARY KEY, tid INTEGER, resource TEXT, id TEXT, change TEXT);
      CREATE TABLE IF NOT EXISTS feed (cursor TEXT);
    `);
  }

  cursor(): string | undefined {
    return this.#db.prepare('SELECT cursor FROM feed').get()?.['cursor'] as string | undefined;
  }

  apply(changes: readonly Change[], cursor: string): void {
    this.#atOnce(() => {
      const add = this.#db.prepare('INSERT INTO seen (tid, resource, id, change) VALUES (?, ?, ?, ?)');
      for (const { tid, resource, id, change } of changes) add.run(tid, resource, id, change);
      this.#db.exec('DELETE FROM feed');
      this.#db.prepare('INSERT INTO feed VALUES (?)').run(cursor);
    });
  }

  reset(): void {
    this.#atOnce(() => this.#db.exec('DELETE FROM seen; DELETE FROM feed'));
  }

  #atOnce(work: () => void): void {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      work();
      this.#db.exec('COMMIT');
    } catch (error) {
      this.#db.exec('ROLLBACK');
      throw error;
    }
  }
}
