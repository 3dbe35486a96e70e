import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { repositoryRoot } from '../support/repository-root.ts';
import { waitUntil } from '../support/wait-until.ts';

const program = join(repositoryRoot(), 'dist/apps/demo/production.js');
const { PATH = '' } = process.env;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-test-'));
  chmodSync(folder, 0o755);
});

afterEach(() => rmSync(folder, { recursive: true }));

function demonstrate(...args: string[]) {
  return spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    cwd: folder,
    env: { PATH, TMPDIR: folder },
  });
}

function start(...args: string[]) {
  const child = spawn(process.execPath, [program, '--shots', '8', '--changes', '10000', ...args], {
    ...{ cwd: folder, env: { PATH, TMPDIR: folder }, stdio: ['ignore', 'pipe', 'ignore'] },
  });
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  return { child, said: () => text };
}

it('the demonstration of a production says what SQL counts, and finds what it has damaged', () => {
  const { status, stdout, stderr } = demonstrate('--shots', '8', '--changes', '70', '--per-second', '20');
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/changes: 70\n {2}todo → wip +: 32\n {2}wip → review +: 22\n {2}review → retake +: 4\n/);
  expect(stdout).toContain('lists that showed something else: 0\n');
  expect(stdout).toContain('changes that were validated afterwards: 70\n  of these not valid: 0\n');
  expect(stdout).toMatch(/altered behind all backs: \["\d+"\]\n {4}shot \d+: task_status.\w+ is wrong/);
  expect(stdout).toContain('after a repair: []\n\nSQL has counted the same.\n');
  expect(readdirSync(folder)).toEqual([]);
}, 120_000);

it('interrupted, it leaves no server and no folder behind', async () => {
  const { child, said } = start();
  await waitUntil(() => said().includes('Changing statuses'), 'statuses are changed');
  const urls = said().match(/http:\S+/g) as string[];
  expect(urls).toHaveLength(2);
  child.kill('SIGTERM');
  expect(await once(child, 'close')).toEqual([143, null]);
  expect(readdirSync(folder)).toEqual([]);
  for (const url of urls) await expect(fetch(`${url}/health`)).rejects.toThrow('fetch failed');
}, 120_000);

it('a server that is killed ends it, and it leaves nothing behind', async () => {
  const { child, said } = start();
  await waitUntil(() => said().includes('Changing statuses'), 'statuses are changed');
  const [server] = spawnSync('pgrep', ['-P', String(child.pid), '-f', 'serve'], { encoding: 'utf8' }).stdout.split(
    '\n',
  );
  process.kill(Number(server), 'SIGKILL');
  expect(await once(child, 'close')).toEqual([1, null]);
  expect(readdirSync(folder)).toEqual([]);
}, 120_000);

it('a reader that has seen enough ends it, and it leaves nothing behind', async () => {
  const { child, said } = start('--changes', '5');
  await waitUntil(() => said().includes('Two servers'), 'it has said something');
  child.stdout?.destroy();
  expect(await once(child, 'close')).toEqual([141, null]);
  expect(readdirSync(folder)).toEqual([]);
}, 120_000);

it('it says how to call it', () => {
  const { status, stdout, stderr } = demonstrate('--help');
  expect([status, stdout, stderr]).toEqual([0, expect.stringContaining('[--shots 200]'), '']);
});

it('it refuses what it does not know', () => {
  expect(demonstrate('--shot', '5')).toMatchObject({ status: 2, stderr: expect.stringContaining("'--shot'") });
});

it('it refuses numbers that are none', () => {
  const { status, stderr } = demonstrate('--shots', 'many');
  expect([status, stderr]).toEqual([2, expect.stringContaining('--shots must be a whole number from 1, and not many')]);
});
