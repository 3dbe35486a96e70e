import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { KernelError } from '#libs/database';
import { type EmbeddedDatabase, joinEmbedded, stopEmbedded } from '#libs/embedded';
import { waitUntil } from '../support/wait-until.ts';
import {
  answers,
  ask,
  EmbeddedProcess,
  type Joined,
  lives,
  parentOf,
  postmaster,
  processesOn,
  supervisors,
} from './embedded-process.ts';

let dataDir: string;
let own: EmbeddedDatabase | undefined;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'tidemark-embedded-'));
  chmodSync(dataDir, 0o755);
});

afterEach(async () => {
  await own?.release();
  own = undefined;
  await EmbeddedProcess.killAll();
  await stopEmbedded(dataDir, { force: true });
  rmSync(dataDir, { recursive: true });
});

async function start(): Promise<EmbeddedDatabase> {
  own = await joinEmbedded(dataDir);
  return own;
}

async function startOther(): Promise<EmbeddedProcess & Joined> {
  const other = new EmbeddedProcess(dataDir);
  return Object.assign(other, await other.joined);
}

const born = (url: string) => ask<{ at: string }>(url, 'SELECT pg_postmaster_start_time()::text AS at');

describe('the embedded database', () => {
  it('is durable UTF-8, on a socket and no TCP port, and its program is no superuser', async () => {
    const { url, created, clusterDir } = await start();
    expect(created).toBe(true);
    expect(
      await ask(
        url,
        `SELECT current_user, current_database(), current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,
           current_setting('full_page_writes') AS pages, current_setting('listen_addresses') AS addresses,
           current_setting('server_encoding') AS encoding, current_setting('server_version_num')::int / 10000 AS version,
           pg_has_role('tidemark_app', 'USAGE') AS app, current_setting('is_superuser') AS super`,
      ),
    ).toEqual([
      {
        ...{ current_user: 'tidemark', current_database: 'tidemark', fsync: 'on', commit: 'on', pages: 'on' },
        ...{ addresses: '', encoding: 'UTF8', version: 18, app: true, super: 'off' },
      },
    ]);
    expect(supervisors(clusterDir)).toHaveLength(1);
  });

  it('is one, made once, when five processes start at the very same moment', async () => {
    const others = Array.from({ length: 5 }, () => new EmbeddedProcess(dataDir));
    const joined = await Promise.all(others.map((other) => other.joined));
    expect(joined.map(({ message }) => message)).toEqual(Array(5).fill(undefined));
    expect(joined.filter(({ created }) => created)).toHaveLength(1);
    const births = await Promise.all(joined.map(({ url }) => born(url)));
    expect(new Set(births.map(([row]) => row?.at)).size).toBe(1);
    const place = joined[0]?.clusterDir as string;
    await waitUntil(() => supervisors(place).length === 1, 'one supervisor is left');
  });

  it('outlives a kill -9 of the process that has started it while another uses it', async () => {
    const starter = await startOther();
    const { url } = await start();
    const before = await born(url);
    await starter.kill9();
    await startOther();
    expect(await born(url)).toEqual(before);
  });

  it('stops by itself when nobody uses it any more, also after kill -9, and keeps its data', async () => {
    const one = await startOther();
    const other = await startOther();
    await ask(one.ownerUrl, 'CREATE TABLE kept AS SELECT 42 AS n');
    await one.leave();
    await other.kill9();
    await waitUntil(() => processesOn(one.clusterDir).length === 0, 'all its processes are gone', 30_000);
    const again = await start();
    expect(again.created).toBe(false);
    expect(await ask(again.ownerUrl, 'SELECT n FROM kept')).toEqual([{ n: 42 }]);
  });

  it('recovers what was committed when PostgreSQL is killed, and its users go on', async () => {
    const { ownerUrl, clusterDir } = await start();
    await ask(ownerUrl, 'CREATE TABLE kept AS SELECT 42 AS n');
    const killed = postmaster(clusterDir) as number;
    process.kill(killed, 'SIGKILL');
    await waitUntil(() => !lives(killed), 'PostgreSQL is dead');
    await waitUntil(() => answers(ownerUrl), 'PostgreSQL answers again', 30_000);
    expect(await ask(ownerUrl, 'SELECT n FROM kept')).toEqual([{ n: 42 }]);
    expect(supervisors(clusterDir)).toHaveLength(1);
  });

  it('goes on when what guards PostgreSQL is killed', async () => {
    const { url, clusterDir } = await start();
    const before = postmaster(clusterDir) as number;
    process.kill(parentOf(before), 'SIGKILL');
    await waitUntil(() => !lives(before), 'the unguarded PostgreSQL is gone');
    await waitUntil(() => answers(url), 'another one answers', 30_000);
    expect(supervisors(clusterDir)).toHaveLength(1);
  });

  it('gets another supervisor from its users when that is killed, on the same URL', async () => {
    const { url, clusterDir, onLost } = await start();
    let lost = 0;
    onLost(() => {
      lost += 1;
    });
    const other = await startOther();
    const [killed] = supervisors(clusterDir);
    const before = postmaster(clusterDir);
    process.kill(killed as number, 'SIGKILL');
    await waitUntil(() => lost === 1, 'the loss was noticed');
    await waitUntil(() => postmaster(clusterDir) !== before && answers(url), 'another PostgreSQL answers', 30_000);
    await waitUntil(() => supervisors(clusterDir).length === 1, 'one supervisor is left');
    await own?.release();
    // one that has not come back yet when it is stopped starts it anew
    const refusal = () =>
      stopEmbedded(dataDir).then(
        () => '',
        (error: Error) => error.message,
      );
    await waitUntil(async () => (await refusal()).includes(String(other.pid)), 'the other is its user', 30_000);
    expect(await answers(other.url)).toBe(true);
  });

  it('leaves no PostgreSQL behind when its supervisor and all users are killed', async () => {
    const other = await startOther();
    const [supervisor] = supervisors(other.clusterDir);
    await other.kill9();
    process.kill(supervisor as number, 'SIGKILL');
    await waitUntil(() => processesOn(other.clusterDir).length === 0, 'all its processes are gone');
  });

  it('is started again although a process was killed while it started it', async () => {
    const starter = new EmbeddedProcess(dataDir);
    await waitUntil(() => processesOn(dataDir).length > 1, 'a supervisor is being started');
    await starter.kill9();
    expect(await answers((await start()).url)).toBe(true);
  });

  it('is stopped by hand only when nobody else uses it, or by force, and then stays down', async () => {
    const other = await startOther();
    const { clusterDir } = other;
    const refused = await stopEmbedded(dataDir).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'conflict', message: expect.stringContaining(`process ${other.pid}`) });
    expect(await answers(other.url)).toBe(true);
    expect(await stopEmbedded(dataDir, { force: true })).toBe('stopped');
    expect(postmaster(clusterDir)).toBeUndefined();
    await other.leave();
    expect(processesOn(clusterDir)).toEqual([]);
    expect(await stopEmbedded(dataDir)).toBe('not running');
    expect(await stopEmbedded(join(dataDir, 'never-used'))).toBe('not running');
    expect(refused).toBeInstanceOf(KernelError);
  });
});
