import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { repositoryRoot } from '../support/repository-root.ts';

const program = join(repositoryRoot(), 'dist/apps/demo/production.js');
const { PATH = '' } = process.env;

function demonstrate(...args: string[]) {
  return spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', cwd: tmpdir(), env: { PATH } });
}

it('the demonstration of a production says what SQL counts, and finds what it has damaged', () => {
  const { status, stdout, stderr } = demonstrate('--shots', '8', '--changes', '70', '--per-second', '20');
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/changes: 70\n {2}todo → wip +: 32\n {2}wip → review +: 32\n {2}review → done +: 6\n/);
  expect(stdout).toContain('lists that showed something else: 0\n');
  expect(stdout).toContain('changes that were validated afterwards: 70\n  of these not valid: 0\n');
  expect(stdout).toMatch(/altered behind all backs: \["\d+"\]\n {4}shot \d+: task_status.\w+ is wrong/);
  expect(stdout).toContain('after a repair: []\n\nSQL has counted the same.\n');
}, 120_000);

it('it refuses numbers that are none', () => {
  const { status, stderr } = demonstrate('--shots', 'many');
  expect([status, stderr]).toEqual([2, expect.stringContaining('--shots must be a whole number from 1, and not many')]);
});
