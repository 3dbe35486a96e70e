import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { joinEmbedded, stopEmbedded } from '#libs/embedded';
import { repositoryRoot } from '../support/repository-root.ts';
import { answers, EmbeddedProcess, processesOn } from './embedded-process.ts';

const asRoot = process.getuid?.() === 0;
const NOBODY = { uid: 65534, gid: 65534 };
const nobodyReads = asRoot && spawnSync('/bin/ls', [repositoryRoot()], { ...NOBODY, cwd: '/' }).status === 0;

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-folder-'));
  chmodSync(folder, 0o755);
});

afterEach(async () => {
  await EmbeddedProcess.killAll();
  rmSync(folder, { recursive: true, force: true });
});

/** Starts it, and removes what lies elsewhere afterwards. */
async function startAndStop(dataDir: string): Promise<{ clusterDir: string; works: boolean }> {
  const { clusterDir, url, release } = await joinEmbedded(dataDir);
  const works = await answers(url);
  await release();
  await stopEmbedded(dataDir, { force: true });
  return { clusterDir, works };
}

const refusal = (dataDir: string): Promise<unknown> => joinEmbedded(dataDir).catch((error: unknown) => error);

describe('the data folder of the embedded database', () => {
  it('is made with all above it', async () => {
    const dataDir = join(folder, 'a/b/.tidemark');
    const { clusterDir, works } = await startAndStop(dataDir);
    expect(works).toBe(true);
    expect(clusterDir).toBe(join(dataDir, 'postgres'));
  });

  it('names another folder when a socket in it would have too long a path', async () => {
    const dataDir = join(folder, 'long'.repeat(25));
    const { clusterDir, works } = await startAndStop(dataDir);
    expect(works).toBe(true);
    expect(readFileSync(join(dataDir, 'location'), 'utf8').trim()).toBe(clusterDir);
    expect((await startAndStop(dataDir)).clusterDir).toBe(clusterDir);
    rmSync(clusterDir, { recursive: true });
    expect(await refusal(dataDir)).toMatchObject({
      code: 'configuration',
      message: expect.stringContaining(clusterDir),
    });
  });

  (asRoot ? it : it.skip)('names another folder when the account of PostgreSQL cannot enter it', async () => {
    chmodSync(folder, 0o700);
    // as a fresh machine has it, and as one on which it was made closed
    mkdirSync('/var/lib/tidemark', { recursive: true });
    chmodSync('/var/lib/tidemark', 0o700);
    const { clusterDir, works } = await startAndStop(join(folder, '.tidemark'));
    expect(works).toBe(true);
    expect(readFileSync(join(folder, '.tidemark/location'), 'utf8').trim()).toBe(clusterDir);
    rmSync(clusterDir, { recursive: true });
  });

  (nobodyReads ? it : it.skip)('serves an ordinary user, and root afterwards', async () => {
    const dataDir = join(folder, 'theirs');
    mkdirSync(dataDir);
    chownSync(dataDir, NOBODY.uid, NOBODY.gid);
    const user = new EmbeddedProcess(dataDir, NOBODY);
    const { url, message, clusterDir } = await user.joined;
    expect(message).toBeUndefined();
    expect(await answers(url)).toBe(true);
    await user.kill9();
    await stopEmbedded(dataDir, { force: true });
    expect(processesOn(clusterDir)).toEqual([]);
    expect((await startAndStop(dataDir)).works).toBe(true);
  });

  (nobodyReads ? it : it.skip)('is refused with its name when it cannot be written', async () => {
    const { code, message } = await new EmbeddedProcess(join(folder, '.tidemark'), NOBODY).joined;
    expect(code).toBe('configuration');
    expect(message).toContain(`the data folder ${join(folder, '.tidemark')} cannot be used: EACCES`);
  });

  it('is refused with its name when it is a file', async () => {
    const dataDir = join(folder, 'file');
    writeFileSync(dataDir, '');
    expect(await refusal(dataDir)).toMatchObject({ code: 'configuration', message: expect.stringContaining(dataDir) });
  });

  it('is refused when its disk is full, and nothing of the attempt is left', async () => {
    const dataDir = join(folder, 'disk');
    mkdirSync(dataDir);
    if (!asRoot || spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', dataDir]).status !== 0) return;
    try {
      expect(await refusal(dataDir)).toMatchObject({
        code: 'configuration',
        message: expect.stringMatching(/No space left on device/),
      });
      expect(existsSync(join(dataDir, 'postgres/data'))).toBe(false);
      expect(execFileSync('ls', [join(dataDir, 'postgres')], { encoding: 'utf8' })).not.toMatch(/data|starting/);
    } finally {
      execFileSync('umount', ['--lazy', dataDir]);
    }
  });

  it('is refused when another major version has made it', async () => {
    const dataDir = join(folder, 'old');
    const { clusterDir } = await startAndStop(dataDir);
    writeFileSync(join(clusterDir, 'data/PG_VERSION'), '17\n');
    expect(await refusal(dataDir)).toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(/made by PostgreSQL 17 and this program brings 18/),
    });
  });

  it('is refused with the reason when PostgreSQL does not start', async () => {
    const dataDir = join(folder, 'broken');
    const { clusterDir } = await startAndStop(dataDir);
    writeFileSync(join(clusterDir, 'data/postgresql.conf'), 'no_such_setting = on\n');
    expect(await refusal(dataDir)).toMatchObject({
      code: 'configuration',
      message: expect.stringContaining('no_such_setting'),
    });
  });

  it('is not kept from starting by the mark of a process that was killed', async () => {
    const dataDir = join(folder, 'marked');
    const { clusterDir } = await startAndStop(dataDir);
    const { pid } = spawnSync('/bin/true');
    writeFileSync(join(clusterDir, 'starting'), String(pid));
    expect((await startAndStop(dataDir)).works).toBe(true);
  });
});
