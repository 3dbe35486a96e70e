/** One measured quantity: a value per run, and what it must reach where something was promised. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly runs: readonly number[];
  readonly target?: { readonly atLeast: number } | { readonly atMost: number };
}

/** A figure as printed and kept: with its median, and whether the target is reached. */
export interface Result extends Figure {
  readonly median: number;
  readonly reached?: boolean;
}

export function result(figure: Figure): Result {
  const value = median(figure.runs);
  if (figure.target === undefined) return { ...figure, median: value };
  const reached = 'atLeast' in figure.target ? value >= figure.target.atLeast : value <= figure.target.atMost;
  return { ...figure, median: value, reached };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1);
  return middle.reduce((sum, value) => sum + value, 0) / middle.length;
}

/** The value that `percent` of the values do not exceed (nearest rank); NaN of nothing. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

/** Run by run: what was measured side by side is compared side by side. */
export function ratios(values: readonly number[], others: readonly number[]): number[] {
  return values.map((value, run) => value / (others[run] ?? Number.NaN));
}

/** One line: median, the range of the runs, and the target. */
export function line(figure: Result): string {
  const spread = `${shown(Math.min(...figure.runs))} to ${shown(Math.max(...figure.runs))}`;
  const runs = figure.runs.length > 1 ? `  (${figure.runs.length} runs, ${spread})` : '';
  return `  ${figure.name.padEnd(58)} ${shown(figure.median).padStart(9)} ${figure.unit}${runs}${verdict(figure)}`;
}

function verdict({ target, reached }: Result): string {
  if (target === undefined) return '';
  const promise = 'atLeast' in target ? `at least ${shown(target.atLeast)}` : `at most ${shown(target.atMost)}`;
  return `  target ${promise}: ${reached ? 'reached' : 'MISSED'}`;
}

function shown(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2);
}
