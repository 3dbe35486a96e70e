import { type CausedBy, causeOf } from '#libs/effects';
import type { Change } from '#libs/journal';
import { plain, shortJson } from './output.ts';

/**
 * A change as one line for people: who did what when, what became of each field, shortened, and what it is an effect of: the whole chain where that is
 * given, else the last step, which the change itself tells.
 */
export function changeLine(change: Change, causes: readonly CausedBy[] = [causeOf(change) ?? []].flat()): string {
  const fields = Object.entries(change.fields).map(([field, { old, new: now }]) =>
    fieldText(change.change, field, old, now),
  );
  const parts = [
    `${change.tid}`,
    change.time,
    plain(change.author),
    `${change.change} ${change.resource} ${change.id}`,
    fields.join(', '),
    change.comment ? `# ${plain(change.comment)}` : '',
    causesText(causes),
  ];
  return parts.filter((part) => part !== '').join('  ');
}

const LONGEST = 40;

function causesText(causes: readonly CausedBy[]): string {
  const steps = causes.map(({ tid, listener }) => `tid ${tid} (listener ${plain(listener)})`);
  return steps.length === 0 ? '' : `caused by ${steps.join(' ← ')}`;
}

function fieldText(change: string, field: string, old: unknown, now: unknown): string {
  if (change === 'CREATE') return `${field}=${short(now)}`;
  if (change === 'DELETE') return `${field}=${short(old)}`;
  return `${field}: ${short(old)} → ${short(now)}`;
}

function short(value: unknown): string {
  return shortJson(value, LONGEST);
}
