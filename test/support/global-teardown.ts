import { RUN } from './global-setup.ts';
import type { TestRun } from './test-run.ts';

/** Called by jest after the last test file. */
export default async function tearDown(): Promise<void> {
  await (globalThis as { [RUN]?: TestRun })[RUN]?.end();
}
