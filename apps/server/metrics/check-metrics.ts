import type { countFindings } from '#libs/integrity';
import type { Kernel } from '#libs/kernel';
import { type Meter, recount } from './meter.ts';

/** What the schedule of checks has done in this process: counted here, so it costs nothing. */
export function checkMetrics(meter: Meter) {
  const counters = [
    ['looks', meter.counter('tidemark_check_looks_total', 'pages of rows that this process has checked', ['check'])],
    ['rows', meter.counter('tidemark_check_rows_total', 'rows that this process has checked', ['check'])],
    ['failed', meter.counter('tidemark_check_failures_total', 'looks of a check that have failed', ['check'])],
  ] as const;
  return ({ integrity }: Kernel): void => {
    const checks = integrity.status();
    for (const [count, counter] of counters) {
      recount(
        counter,
        checks.map(({ check, ...counts }) => [{ check }, counts[count]]),
      );
    }
  };
}

/** What is found and not repaired, as the database says; without a look at it, nothing. */
export function findingMetrics(meter: Meter) {
  const open = meter.gauge('tidemark_findings', 'open findings of the checks of the data', ['check', 'kind']);
  return (rows: Awaited<ReturnType<typeof countFindings>> = []): void => {
    // nothing at all is better than a number that has grown old
    open.reset();
    for (const { check, kind, findings } of rows) open.set({ check, kind }, findings);
  };
}
