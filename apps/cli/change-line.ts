import type { Change } from '#libs/journal';

/** A change as one line for people: who did what when, and what became of each field, shortened. */
export function changeLine(change: Change): string {
  const fields = Object.entries(change.fields).map(([field, { old, new: now }]) =>
    fieldText(change.change, field, old, now),
  );
  const parts = [
    `${change.tid}`,
    change.time,
    change.author.replace(CONTROLS, ' '),
    `${change.change} ${change.resource} ${change.id}`,
    fields.join(', '),
    change.comment ? `# ${change.comment.replace(CONTROLS, ' ')}` : '',
  ];
  return parts.filter((part) => part !== '').join('  ');
}

const LONGEST = 40;
// biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal must not be told things by a comment
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]+/g;

function fieldText(change: string, field: string, old: unknown, now: unknown): string {
  if (change === 'CREATE') return `${field}=${short(now)}`;
  if (change === 'DELETE') return `${field}=${short(old)}`;
  return `${field}: ${short(old)} → ${short(now)}`;
}

function short(value: unknown): string {
  const json = (JSON.stringify(value) ?? 'null').replace(CONTROLS, ' ');
  return json.length <= LONGEST ? json : `${json.slice(0, LONGEST - 1)}…(${json.length})`;
}
