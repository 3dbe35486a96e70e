import type { ListenerRow } from '#libs/effects';
import type { Kernel } from '#libs/kernel';
import { type Meter, recount } from './meter.ts';

const LISTENER = ['listener'];
const OPEN = ['pending', 'failed', 'parked'] as const;

/** What this process has done for effects: counted here, so it costs nothing. */
export function attemptMetrics(meter: Meter) {
  const attempts = meter.counter(
    'tidemark_effect_attempts_total',
    'attempts at effects that this process has ended, by outcome: done or failed',
    ['listener', 'outcome'],
  );
  const seconds = meter.counter(
    'tidemark_effect_attempt_seconds_total',
    'how long they took together: divided by the attempts, how long one takes',
    LISTENER,
  );
  const running = meter.gauge('tidemark_effects_running', 'effects that this process is about', LISTENER);
  return ({ effects }: Kernel): void => {
    const listeners = effects.status();
    recount(
      attempts,
      listeners.flatMap(({ name, done, failed }) => [
        [{ listener: name, outcome: 'done' }, done] as const,
        [{ listener: name, outcome: 'failed' }, failed] as const,
      ]),
    );
    recount(
      seconds,
      listeners.map((status) => [{ listener: status.name }, status.seconds]),
    );
    // a listener may be gone
    running.reset();
    for (const status of listeners) running.set({ listener: status.name }, status.running);
  };
}

/** How all processes together stand with effects, as the ledger says; without a look at it, nothing. */
export function ledgerMetrics(meter: Meter) {
  const open = meter.gauge('tidemark_effects', 'effects that are not done, by state, counted up to 10,000', [
    'listener',
    'state',
  ]);
  const values: [ReturnType<Meter['gauge']>, (row: ListenerRow) => number][] = [
    [
      meter.gauge(
        'tidemark_effects_waiting_seconds',
        'how long the oldest effect that is due has been waiting; 0 when none is',
        LISTENER,
      ),
      ({ waiting_ms }) => waiting_ms / 1000,
    ],
    [
      meter.gauge(
        'tidemark_effect_listener_lag_rows',
        'journal rows after the position of the listener, counted up to 10,000',
        LISTENER,
      ),
      ({ lag_rows }) => lag_rows,
    ],
    [
      meter.gauge(
        'tidemark_effect_listener_lag_seconds',
        'how old the oldest of them is; 0 when there is none',
        LISTENER,
      ),
      ({ lag_ms }) => lag_ms / 1000,
    ],
    [
      meter.gauge('tidemark_effect_listener_processes', 'living processes that run the listener', LISTENER),
      ({ processes }) => processes,
    ],
    [
      meter.gauge('tidemark_effect_listener_paused', '1 while the listener is paused', LISTENER),
      ({ paused }) => Number(paused),
    ],
  ];
  return (rows: readonly ListenerRow[] = []): void => {
    // a listener may be gone, and nothing at all is better than a number that has grown old
    for (const gauge of [open, ...values.map(([gauge]) => gauge)]) gauge.reset();
    for (const row of rows) {
      const { listener } = row;
      for (const state of OPEN) open.set({ listener, state }, row[state]);
      for (const [gauge, value] of values) gauge.set({ listener }, value(row));
    }
  };
}
