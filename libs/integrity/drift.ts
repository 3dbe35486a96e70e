import { type ConnectionSource, type Queryable, runInTransaction, SNAPSHOT } from '#libs/database';
import { asActor } from './as-actor.ts';
import { type Accept, type Check, type Found, type Look, type Looked, type Plan } from './check.ts';
import { absentPage, acceptRows, driftOf, modelPage, restoreRows } from './drift.queries.ts';

/**
 * Rows of a table that are not what their journal says: somebody has changed them, or their journal, past the triggers. First along the
 * table, then along the journal for rows that the table has lost.
 */
export function driftCheck(database: ConnectionSource, resource: string): Check {
  return {
    ...{ name: 'drift', resource, whole: false },
    find: (look) => runInTransaction(database, (snapshot) => find(snapshot, resource, look), SNAPSHOT),
    plan,
    async apply({ atomic }, actor, found, accept) {
      const ids = [...new Set(found.map(({ id }) => id))];
      const repair = accept === 'model' ? acceptRows : restoreRows;
      await atomic((writer) => asActor(writer, actor, (tx) => repair(tx, resource, ids)));
    },
  };
}

type Side = readonly ['model', ...key: string[]] | readonly ['journal', after: string];

async function find(snapshot: Queryable, resource: string, look: Look): Promise<Looked> {
  if ('places' in look) {
    const found = await driftOf(snapshot, resource, look.places);
    return { found, rows: look.places.length, next: null };
  }
  const { limit } = look;
  const [side, ...after] = look.after === null ? (['model'] as const) : (JSON.parse(look.after) as Side);
  if (side === 'model') {
    const { ids, last } = await modelPage(snapshot, resource, { after: after.length > 0 ? after : null, limit });
    const next = JSON.stringify(ids.length < limit || last === null ? ['journal', ''] : ['model', ...last]);
    return { found: await driftOf(snapshot, resource, ids), rows: ids.length, next };
  }
  const { absent, rows, last } = await absentPage(snapshot, resource, { after: after[0] ?? '', limit });
  const next = rows < limit || last === null ? null : JSON.stringify(['journal', last]);
  return { found: await driftOf(snapshot, resource, absent), rows, next };
}

function plan({ kind }: Found, accept: Accept | undefined): Plan {
  const does = (side: Accept) => ({ does: PLANS[side][kind as keyof (typeof PLANS)[Accept]] });
  if (accept !== undefined) return does(accept);
  const undecided = 'a row and its journal differ: say which of them is to be believed, model or journal';
  return { either: { model: does('model'), journal: does('journal') }, undecided };
}

const PLANS = {
  model: {
    wrong: "journals the table's value",
    missing: 'journals that the row is deleted',
    extra: 'journals the row as it is',
  },
  journal: {
    wrong: "writes the journal's value into the row",
    missing: 'makes the row again, as the journal has it',
    extra: 'deletes the row',
  },
} as const;
