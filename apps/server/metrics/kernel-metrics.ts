import { wholeTid } from '#libs/dispatch';
import type { Kernel } from '#libs/kernel';
import type { StreamsStatus } from '../journal/journal-streams.ts';
import { checkMetrics, findingMetrics } from './check-metrics.ts';
import { attemptMetrics, ledgerMetrics } from './effect-metrics.ts';
import type { JournalLook } from './journal-watch.ts';
import { type Meter, recount } from './meter.ts';
import { projectionMetrics } from './projection-metrics.ts';

const TAIL_STATES = ['running', 'failing', 'stopped'] as const;

/** What the kernel and the event streams tell of themselves, written into a meter at each scrape. */
export function kernelMetrics(meter: Meter, kernel: Kernel) {
  const parts = [poolMetrics(meter), dispatchMetrics(meter), attemptMetrics(meter), checkMetrics(meter)];
  const journal = journalMetrics(meter);
  const ledger = ledgerMetrics(meter);
  const projections = projectionMetrics(meter);
  const findings = findingMetrics(meter);
  const streams = streamMetrics(meter);
  return (look: JournalLook | undefined, status: StreamsStatus): void => {
    for (const update of parts) update(kernel);
    journal(look);
    ledger(look?.effects);
    projections(look?.projections);
    findings(look?.findings);
    streams(status);
  };
}

function poolMetrics(meter: Meter) {
  const open = meter.gauge('tidemark_pool_connections', 'open database connections, idle ones included', ['pool']);
  const idle = meter.gauge('tidemark_pool_idle_connections', 'open database connections that nobody uses', ['pool']);
  const most = meter.gauge('tidemark_pool_max_connections', 'how many database connections there may be', ['pool']);
  const waiting = meter.gauge('tidemark_pool_waiting_requests', 'who waits for a database connection', ['pool']);
  return ({ database }: Kernel): void => {
    for (const [pool, status] of Object.entries(database.pools)) {
      open.set({ pool }, status.open);
      idle.set({ pool }, status.idle);
      most.set({ pool }, status.most);
      waiting.set({ pool }, status.waiting);
    }
  };
}

function dispatchMetrics(meter: Meter) {
  const position = meter.gauge('tidemark_tail_position_tid', 'up to this tid the tail has delivered everything');
  const delivered = meter.gauge(
    'tidemark_tail_last_delivery_timestamp_seconds',
    'when the tail delivered a change last',
  );
  const state = meter.gauge('tidemark_tail_state', '1 for the state that the tail is in, 0 for the others', ['state']);
  const ringing = meter.gauge(
    'tidemark_doorbell_up',
    '1 while the doorbell can be heard; without it changes are polled for',
  );
  const rings = meter.counter('tidemark_doorbell_connects_total', 'connections that the doorbell has made');
  const listeners = listenerMetrics(meter);
  const caches = cacheMetrics(meter);
  return ({ dispatcher }: Kernel): void => {
    const status = dispatcher.status();
    position.set(wholeTid(status.position));
    if (status.deliveredAt !== null) delivered.set(status.deliveredAt / 1000);
    else delivered.remove();
    for (const name of TAIL_STATES) state.set({ state: name }, Number(status.state === name));
    ringing.set(Number(status.doorbell.state === 'listening'));
    recount(rings, [[{}, status.doorbell.connects]]);
    listeners(status.listeners);
    caches(status.caches);
  };
}

type DispatchStatus = ReturnType<Kernel['dispatcher']['status']>;

function listenerMetrics(meter: Meter) {
  const position = meter.gauge('tidemark_listener_position_tid', 'up to this tid the listener was told', ['listener']);
  const told = meter.counter('tidemark_listener_deliveries_total', 'changes that the listener was told of', [
    'listener',
  ]);
  const failed = meter.counter('tidemark_listener_failures_total', 'changes over which the listener threw', [
    'listener',
  ]);
  return (listeners: DispatchStatus['listeners']): void => {
    for (const status of listeners) position.set({ listener: status.name }, wholeTid(status.position));
    recount(
      told,
      listeners.map(({ name, delivered }) => [{ listener: name }, delivered]),
    );
    recount(
      failed,
      listeners.map(({ name, failed: failures }) => [{ listener: name }, failures]),
    );
  };
}

function cacheMetrics(meter: Meter) {
  const loaded = meter.gauge('tidemark_cache_loaded', '1 while the cache can be read', ['cache']);
  const position = meter.gauge(
    'tidemark_cache_position_tid',
    'up to this tid the cache is current; -1 while not loaded',
    ['cache'],
  );
  const loads = meter.counter('tidemark_cache_loads_total', 'how often the cache was loaded', ['cache']);
  return (caches: DispatchStatus['caches']): void => {
    for (const cache of caches) {
      loaded.set({ cache: cache.name }, Number(cache.state === 'loaded'));
      position.set({ cache: cache.name }, cache.position);
    }
    recount(
      loads,
      caches.map((cache) => [{ cache: cache.name }, cache.loads]),
    );
  };
}

function journalMetrics(meter: Meter) {
  const up = meter.gauge(
    'tidemark_database_up',
    '1 when the database has answered within a second, asked at most every 5 seconds',
  );
  const values: [ReturnType<Meter['gauge']>, (look: JournalLook) => number][] = [
    [meter.gauge('tidemark_journal_head_tid', 'the highest tid ever drawn'), ({ head }) => head],
    [meter.gauge('tidemark_journal_safe_tid', 'up to this tid nothing can appear any more'), ({ safe }) => safe],
    [
      meter.gauge('tidemark_journal_unsafe_tids', 'head minus safe: drawn, and not to be read yet'),
      ({ head, safe }) => head - safe,
    ],
    [
      meter.gauge('tidemark_floor_holders', 'open transactions that hold the tail'),
      ({ floorHolders }) => floorHolders.length,
    ],
    [
      meter.gauge('tidemark_floor_age_seconds', 'since when the oldest of them is open; 0 when there is none'),
      floorAge,
    ],
    [
      meter.gauge('tidemark_tail_lag_rows', 'journal rows that the tail has still to deliver, counted up to 10,000'),
      ({ behind }) => behind.rows,
    ],
    [
      meter.gauge('tidemark_tail_lag_seconds', 'how old the oldest of them is; 0 when there is none'),
      ({ behind }) => behind.seconds,
    ],
    [
      meter.gauge('tidemark_processes', 'server processes of this database that live'),
      ({ processes }) => processes.length,
    ],
  ];
  return (look: JournalLook | undefined): void => {
    up.set(Number(look !== undefined));
    // nothing at all is better than a number that has grown old
    for (const [gauge, value] of values) look ? gauge.set(value(look)) : gauge.remove();
  };
}

function floorAge({ floorHolders }: JournalLook): number {
  const ages = floorHolders.map(({ since }) => (since === null ? 0 : (Date.now() - Date.parse(since)) / 1000));
  return Math.max(0, ...ages);
}

function streamMetrics(meter: Meter) {
  const streams = meter.gauge('tidemark_event_streams', 'open event streams');
  const polls = meter.gauge('tidemark_long_polls', 'long polls that wait for a change');
  const cutOff = meter.counter(
    'tidemark_event_streams_cut_off_total',
    'event streams ended because the client took nothing',
  );
  const refused = meter.counter(
    'tidemark_event_streams_refused_total',
    'event streams and long polls refused: too many were open',
  );
  return (status: StreamsStatus): void => {
    streams.set(status.streams);
    polls.set(status.longPolls);
    recount(cutOff, [[{}, status.cutOff]]);
    recount(refused, [[{}, status.refused]]);
  };
}
