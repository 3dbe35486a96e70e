import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Kernel, version } from '#libs/kernel';
import type { AskedBy } from '#libs/resources';
import type { JournalStreams } from '../journal/journal-streams.ts';
import type { Limits } from '../limits.ts';
import { JournalWatch } from './journal-watch.ts';
import { kernelMetrics } from './kernel-metrics.ts';
import { Meter, processRegistry } from './meter.ts';

const SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const LABELS = ['method', 'route', 'status'];
/** What fits no route is one series: a stranger could otherwise make any number of them. */
const UNMATCHED = { method: 'unmatched', route: 'unmatched' };

/** Everything that one server tells Prometheus. */
export class ServerMetrics {
  readonly #meter = new Meter();
  readonly #watch: JournalWatch;
  readonly #streams: JournalStreams;
  readonly #update: ReturnType<typeof kernelMetrics>;
  readonly #requests = this.#meter.counter('tidemark_http_requests_total', 'requests answered', LABELS);
  readonly #durations = this.#meter.histogram(
    'tidemark_http_request_duration_seconds',
    'how long they took; an event stream lasts as long as its client stays',
    LABELS,
    SECONDS,
  );

  readonly #validations = this.#meter.histogram(
    'tidemark_validation_duration_seconds',
    'how long validations of shots and assets took, by what asked for them',
    ['asked_by'],
    SECONDS,
  );

  constructor(kernel: Kernel, streams: JournalStreams, limits: Limits) {
    this.#watch = new JournalWatch(kernel, limits.look);
    this.#streams = streams;
    this.#update = kernelMetrics(this.#meter, kernel);
    processRegistry();
    this.#meter.gauge('tidemark_build_info', 'always 1; the version of the program', ['version']).set({ version }, 1);
  }

  /** Counts an answer, under its route's template and never under its path. */
  answered(request: FastifyRequest, reply: FastifyReply): void {
    const route = request.is404 ? undefined : request.routeOptions.url;
    const labels = {
      ...(route === undefined ? UNMATCHED : { method: request.method, route }),
      status: String(reply.statusCode),
    };
    this.#requests.inc(labels);
    this.#durations.observe(labels, reply.elapsedTime / 1000);
  }

  /** Counts bytes that were no request. */
  refused(status: number): void {
    this.#requests.inc({ ...UNMATCHED, status: String(status) });
  }

  validated(asked_by: AskedBy, seconds: number): void {
    this.#validations.observe({ asked_by }, seconds);
  }

  /** All metrics in Prometheus' text format, within two seconds whatever the database does. */
  async scrape(): Promise<{ contentType: string; text: string }> {
    this.#update(await this.#watch.look(), this.#streams.status);
    const { registry } = this.#meter;
    const parts = [await registry.metrics(), await processRegistry().metrics()];
    // prom-client spells it Nan, which the format does not know
    return { contentType: registry.contentType, text: parts.join('\n').replace(/ Nan$/gm, ' NaN') };
  }
}
