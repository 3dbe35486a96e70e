import type { ProjectionRow } from '#libs/projection';
import type { Meter } from './meter.ts';

const PROJECTION = ['projection'];

/** How projections stand, in all processes together; without a look at the database, nothing. */
export function projectionMetrics(meter: Meter) {
  const values: [ReturnType<Meter['gauge']>, (row: ProjectionRow) => number][] = [
    [
      meter.gauge(
        'tidemark_projection_tid',
        'up to this tid the rows of the projection reflect every change',
        PROJECTION,
      ),
      ({ tid }) => tid,
    ],
    [
      meter.gauge(
        'tidemark_projection_lag_rows',
        'changes that the projection has still to apply, counted up to 10,000',
        PROJECTION,
      ),
      ({ lag_rows }) => lag_rows,
    ],
    [
      meter.gauge('tidemark_projection_lag_seconds', 'how old the oldest of them is; 0 when there is none', PROJECTION),
      ({ lag_ms }) => lag_ms / 1000,
    ],
    [
      meter.gauge('tidemark_projection_failing', '1 while changes cannot be applied to the projection', PROJECTION),
      ({ failing }) => Number(failing),
    ],
  ];
  return (rows: readonly ProjectionRow[] = []): void => {
    for (const [gauge, value] of values) {
      // nothing at all is better than a number that has grown old
      gauge.reset();
      for (const row of rows) gauge.set({ projection: row.name }, value(row));
    }
  };
}
