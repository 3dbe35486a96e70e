import { TestRun } from './test-run.ts';

/** Where global-teardown.ts, which jest runs in the same process, finds the run. */
export const RUN = Symbol.for('tidemark.test-run');

/** Called by jest before the first test file. */
export default async function setUp(): Promise<void> {
  const run = await TestRun.begin();
  process.env['TEST_SERVER'] = JSON.stringify(run.server);
  (globalThis as { [RUN]?: TestRun })[RUN] = run;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => void run.end().finally(() => process.exit(130)));
  }
}
