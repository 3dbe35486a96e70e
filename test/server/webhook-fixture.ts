import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { Database } from '#libs/database';
import { defineResource } from '#libs/journal';
import { settled } from '#libs/testing';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type ReceivedMessage, type WebhookReceiver, webhookReceiver } from '../support/webhook-receiver.ts';
import { type TestServer, testServer } from './server-fixture.ts';

export const PATIENCE = 30_000;
const ALLOW = { TIDEMARK_WEBHOOK_ALLOW: '127.0.0.1' };
const REEL = `CREATE TABLE reel (id int PRIMARY KEY, project_id text, title text);
  SELECT tidemark.journal_table('reel', row_version => true);
  GRANT SELECT, INSERT, UPDATE, DELETE ON reel TO tidemark_app`;

/** A webhook as its maker was told of it. */
export interface Hook {
  readonly id: string;
  readonly listener: string;
  readonly secret: string;
}

export interface LedgerRow {
  readonly state: string;
  readonly attempts: number;
  readonly last_error: string | null;
  /** How many attempts have. */
  readonly failed: number;
  /** The milliseconds after the last failure before which it is not tried again. */
  readonly pause: number;
}

/** Two servers over one database with a resource of projects, and for each test a receiver; a test's webhooks go with it. */
export class WebhookWorld {
  database!: TestDatabase;
  owner!: Database;
  server!: TestServer;
  other!: TestServer;
  receiver!: WebhookReceiver;
  #receivers: WebhookReceiver[] = [];
  #hooks: string[] = [];
  #pages = 0;

  async start(): Promise<void> {
    this.database = await testDatabase();
    this.owner = Database.open({ url: this.database.ownerUrl, poolSize: 2 });
    await this.owner.query(REEL);
    const more = { resources: [defineResource({ name: 'reel', project: 'project_id' })] };
    const { url } = this.database;
    [this.server, this.other] = await Promise.all([testServer(url, ALLOW, more), testServer(url, ALLOW, more)]);
  }

  async stop(): Promise<void> {
    await Promise.all([this.server?.close(), this.other?.close()]);
    await this.owner?.close();
    await this.database?.drop();
  }

  async tidy(): Promise<void> {
    for (const id of this.#hooks.splice(0)) await this.server.ask(`/webhooks/${id}`, { method: 'DELETE' });
    for (const each of this.#receivers.splice(0)) await each.close();
  }

  async listening(): Promise<WebhookReceiver> {
    const made = await webhookReceiver();
    this.#receivers.push(made);
    return made;
  }

  async hook(body: object = {}): Promise<Hook> {
    const usual = { url: this.receiver.url, filter: { resources: ['wiki'] } };
    const made = await (await this.server.send('POST', '/webhooks', { ...usual, ...body })).json();
    this.#hooks.push(made.id);
    return made;
  }

  patch(id: string, body: object) {
    return this.server.send('PATCH', `/webhooks/${id}`, body);
  }

  /** Makes a page, and returns the tid of that and its id. */
  async page(by = this.server): Promise<{ id: string; tid: number }> {
    return (await by.put(`Page/${++this.#pages}`, 'text')).json();
  }

  quiet(): Promise<void> {
    return settled([this.server.kernel, this.other.kernel], { timeout: PATIENCE });
  }

  came(count: number, from = this.receiver): Promise<void> {
    return until(() => from.messages.length >= count, `${count} messages have come`);
  }

  /** What the receiver was told, once all is done. */
  async told(): Promise<string[]> {
    await this.quiet();
    return this.receiver.messages.map(({ json }) => `${json.data.resource} ${json.data.id} ${json.type.split('.')[1]}`);
  }

  /** What the ledger has of a webhook's effect, of the change of a tid or of the only one. */
  async ledgerRow({ listener }: Hook, tid?: number): Promise<LedgerRow> {
    const { rows } = await this.owner.query<LedgerRow>(
      `SELECT state, attempts, last_error, coalesce(jsonb_array_length(past), 0) AS failed,
           round(extract(epoch FROM due - (past -> -1 ->> 'at')::timestamptz) * 1000)::float8 AS pause
         FROM tidemark.effects WHERE listener = $1 AND ($2::bigint IS NULL OR tid = $2)`,
      [listener, tid ?? null],
    );
    return rows[0] as LedgerRow;
  }

  /** Waits until so many attempts have failed, or more on a slow machine, and tells how the last one did. */
  async failures(made: Hook, count: number): Promise<LedgerRow> {
    await until(async () => (await this.ledgerRow(made))?.failed >= count, `attempt ${count} has failed`);
    return this.ledgerRow(made);
  }

  async parked(made: Hook, tid?: number): Promise<LedgerRow> {
    await until(async () => (await this.ledgerRow(made, tid))?.state === 'parked', 'it is parked');
    return this.ledgerRow(made, tid);
  }

  /** Has what has failed tried again now. */
  async hurry(): Promise<void> {
    await this.owner.query(`UPDATE tidemark.effects SET due = now() WHERE state = 'failed'`);
    await this.server.kernel.effects.lookOnce();
  }
}

/** A world for the tests of a file. */
export function webhookWorld(): WebhookWorld {
  const world = new WebhookWorld();
  beforeAll(() => world.start());
  afterAll(() => world.stop());
  beforeEach(async () => {
    world.receiver = await world.listening();
  });
  afterEach(() => world.tidy());
  return world;
}

export function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  return waitUntil(condition, what, PATIENCE);
}

/** Whether a message is signed by a secret, by the reference implementation. */
export function verified({ body, headers }: ReceivedMessage, secret: string): boolean {
  try {
    new Webhook(secret).verify(body, headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
}
