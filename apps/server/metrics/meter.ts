import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

type Labels = Record<string, string>;

/** Makes metrics in one registry: each server of a process has its own. */
export class Meter {
  readonly registry = new Registry();

  gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return new Gauge({ name, help, labelNames, registers: [this.registry] });
  }

  counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  histogram(name: string, help: string, labelNames: readonly string[], buckets: number[]): Histogram {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.registry] });
  }
}

/** Gives all values of a counter that is counted elsewhere. */
export function recount(counter: Counter, values: readonly (readonly [Labels, number])[]): void {
  counter.reset();
  for (const [labels, value] of values) counter.inc(labels, value);
}

// Gauges that end in _total: what reads the format strictly stumbles over them.
const MISNAMED = ['nodejs_active_resources_total', 'nodejs_active_handles_total', 'nodejs_active_requests_total'];

let ofProcess: Registry | undefined;

/** Memory, event loop, garbage collection and the like: of the process, whatever runs in it. */
export function processRegistry(): Registry {
  if (ofProcess === undefined) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess });
    for (const name of MISNAMED) ofProcess.removeSingleMetric(name);
  }
  return ofProcess;
}
