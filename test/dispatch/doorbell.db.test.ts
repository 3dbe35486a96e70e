import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { Database } from '#libs/database';
import type { Listener } from '#libs/dispatch';
import { Doorbell } from '../../libs/dispatch/doorbell.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Harness, harness } from './harness.ts';

let h: Harness;
const doorbells: Doorbell[] = [];

beforeAll(async () => {
  h = await harness();
});

afterEach(async () => {
  await Promise.all(doorbells.splice(0).map((doorbell) => doorbell.stop()));
});

afterAll(() => h.close());

async function hang(database: Database = h.app, heartbeat = 5_000) {
  let count = 0;
  const heard = () => {
    count += 1;
  };
  const options = { connect: () => database.listenClient(), heard, log: h.log, heartbeat };
  const doorbell = new Doorbell(options);
  doorbells.push(doorbell);
  await doorbell.start();
  return { doorbell, heard: () => count };
}

const LISTENERS =
  "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query IN ('LISTEN tidemark', 'SELECT 1', 'NOTIFY tidemark')";

test('a thousand rings at once reach the others as a few', async () => {
  const [mine, other] = [await hang(), await hang()];
  const before = { mine: mine.heard(), other: other.heard() };
  for (let n = 0; n < 1_000; n++) mine.doorbell.ring();
  await waitUntil(() => other.heard() > before.other, 'the other has heard it');
  const third = await hang();
  third.doorbell.ring();
  await waitUntil(() => mine.heard() > before.mine, 'the third is heard, and so the rings before it were');
  expect(other.heard() - before.other).toBeLessThanOrEqual(3);
});

test('a doorbell does not hear itself', async () => {
  const [mine, other] = [await hang(), await hang()];
  const [own, others] = [mine.heard(), other.heard()];
  mine.doorbell.ring();
  await waitUntil(() => other.heard() > others, 'the other has heard it');
  expect(mine.heard()).toBe(own);
});

test('every change is delivered once though the doorbells are killed again and again in the middle of a burst', async () => {
  const told: number[] = [];
  const listener: Listener = { name: 'recorder', onSecondary: (entry) => void told.push(entry.tid) };
  const [reader, writer] = [h.dispatcher(), h.dispatcher()];
  reader.listen(listener);
  await Promise.all([reader.start(), writer.start()]);
  const made: number[] = [];
  for (let n = 1; n <= 300; n++) {
    made.push(await h.change(`INSERT INTO item VALUES (${n})`));
    writer.wake();
    if (n % 60 === 30) await h.owner.query(`SELECT pg_terminate_backend(pid) FROM (${LISTENERS}) l`);
  }
  await waitUntil(() => told.length >= 300, 'all have come');
  expect(told).toEqual(made);
  await waitUntil(() => reader.status().doorbell.state === 'listening', 'the doorbell works again');
  expect(reader.status().doorbell.connects).toBeGreaterThan(1);
});

test('without any doorbell a change is found by polling', async () => {
  const told: number[] = [];
  const reader = h.dispatcher();
  reader.listen({ name: 'recorder', onSecondary: (entry) => void told.push(entry.tid) });
  await reader.start();
  const tid = await h.change('INSERT INTO item VALUES (1000)');
  await waitUntil(() => told.length > 0, 'the poll has found it');
  expect(told).toEqual([tid]);
});

test('a connection that was cut without a word is noticed by its heartbeat, and replaced', async () => {
  const wire = await cuttableWire(h.test.url);
  const database = Database.open({ url: wire.url, poolSize: 1 });
  try {
    const { doorbell } = await hang(database, 100);
    expect(doorbell.status.state).toBe('listening');
    wire.cut();
    await waitUntil(() => doorbell.status.state !== 'listening', 'the cut is noticed');
    wire.mend();
    await waitUntil(() => doorbell.status.state === 'listening', 'it listens again');
    expect(doorbell.status.connects).toBe(2);
    await doorbell.stop();
  } finally {
    wire.close();
    await database.close();
  }
});

/** A TCP proxy before the server that can swallow everything, as a network does that loses packets. */
async function cuttableWire(url: string) {
  const target = new URL(url);
  const folder = target.searchParams.get('host');
  const port = Number(target.port || 5432);
  const sockets = new Set<Socket>();
  let swallowing = false;
  const server: Server = createServer((near) => {
    const far = folder ? createConnection(`${folder}/.s.PGSQL.${port}`) : createConnection(port, target.hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (data) => swallowing || to.write(data));
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const near = new URL(url);
  near.searchParams.delete('host');
  near.host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  return {
    url: near.href,
    cut() {
      swallowing = true;
    },
    mend() {
      swallowing = false;
      for (const socket of sockets) socket.destroy();
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
