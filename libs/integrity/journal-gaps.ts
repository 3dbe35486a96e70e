import { type ConnectionSource, type Queryable, runInTransaction, SNAPSHOT } from '#libs/database';
import { type Accept, type Check, type Found, type Look, type Looked, type Plan, type SettledPlan } from './check.ts';
import { type Gap, gapPage, gapsAt, gapsBetween } from './journal-gaps.queries.ts';

/** Entries of a journal whose values are gone, and values whose entry is gone: somebody has written to the journal itself. */
export function journalCheck(database: ConnectionSource, resource: string): Check {
  return {
    ...{ name: 'journal', resource, whole: false },
    find: (look) => runInTransaction(database, (snapshot) => find(snapshot, resource, look), SNAPSHOT),
    plan,
    apply: async () => {},
  };
}

async function find(snapshot: Queryable, resource: string, look: Look): Promise<Looked> {
  if ('places' in look) {
    const gaps = await gapsAt(snapshot, resource, look.places.map(parsePlace));
    return { found: gaps.map(toFound), rows: look.places.length, next: null };
  }
  const after = Number(look.after ?? -1);
  const { rows, upto, more } = await gapPage(snapshot, resource, { after, limit: look.limit });
  if (upto === null) return { found: [], rows, next: null };
  const found = (await gapsBetween(snapshot, resource, { after, upto })).map(toFound);
  return { found, rows, next: more ? String(upto) : null };
}

function parsePlace(place: string): { tid: number; id: string } {
  const blank = place.indexOf(' ');
  return { tid: Number(place.slice(0, blank)), id: place.slice(blank + 1) };
}

function toFound({ tid, id, change, fields }: Gap): Found {
  const about = { id, field: null, since: tid, place: `${tid} ${id}` };
  if (change === null) return { ...about, kind: 'no_journal', expected: 'an entry', actual: fields };
  if (fields === null) return { ...about, kind: 'no_history', expected: 'values', actual: change };
  return { ...about, kind: 'extra_history', expected: null, actual: fields };
}

function plan(found: Found, accept: Accept | undefined): Plan {
  if (accept !== undefined) return settledPlan(found, accept);
  const undecided =
    'what the journal has lost cannot be repaired: --accept model keeps the finding as accepted, with the reason';
  return { either: { model: settledPlan(found, 'model'), journal: settledPlan(found, 'journal') }, undecided };
}

function settledPlan({ kind, since }: Found, accept: Accept): SettledPlan {
  if (accept === 'model') return { does: `accepts it: the journal stays as it is`, keep: true };
  const lost = kind === 'no_journal' ? `who made the change ${since} and when` : `the values of the change ${since}`;
  const refused =
    kind === 'extra_history'
      ? 'a journal is only ever added to: these values can be accepted, not removed'
      : `nobody knows ${lost} any more, and history is never invented: restore a backup beside, or accept it`;
  return { refused };
}
