import { KernelError } from '#libs/database';
import { frontier } from '#libs/journal';
import {
  compare,
  compareRebuilt,
  type Difference,
  distrustCheckpoint,
  type KeyedProjection,
  lostKeys,
  type Projection,
  rebuild,
  recomputeKeys,
  storedProjection,
  unregistered,
} from '#libs/projection';
import type { Accept, Check, Found, Look, Plan, RepairTools } from './check.ts';

/** As many as compareRebuilt() tells of at most. */
const MOST_REBUILT = 1_000;
/** The place of what is wrong with a projection as a whole. */
const ITSELF = 'checkpoint';
const ANEW = { found: [], rows: 0, next: null, skipped: 'it was made anew meanwhile' };

/**
 * Rows of a projection that are not what they are computed from: for a keyed one its source rows, key by key, in one snapshot; for a fold the
 * journal, which is folded once more beside. And a checkpoint that was set, and a primary key that is lost.
 */
export function projectionCheck(database: RepairTools['database'], projection: Projection): Check {
  const { name, kind } = projection;
  const find = kind === 'keyed' ? findKeyed(database, projection) : findFolded(database, projection);
  return {
    ...{ name: kind === 'keyed' ? 'projection' : 'rebuilt', resource: name, whole: kind === 'fold' },
    async find(look) {
      const stored = await storedProjection(database, name);
      if (!stored) throw unregistered(name);
      const wrong = isFirst(look)
        ? [...(await checkpointProblems(database, stored)), ...(await keyProblems(database, projection))]
        : [];
      if (stored.version !== projection.version) {
        return { found: wrong, rows: 0, next: null, skipped: `it holds the rows of version ${stored.version}` };
      }
      const looked = await find(look);
      return { ...looked, found: [...wrong, ...looked.found] };
    },
    plan: (found, accept) => plan(projection, found, accept),
    apply: (tools, _actor, found) => repair(tools, projection, found),
  };
}

function isFirst(look: Look): boolean {
  return 'places' in look ? look.places.includes(ITSELF) : look.after === null;
}

/** The head is asked for after the checkpoint: it can only have grown. */
async function checkpointProblems(
  database: RepairTools['database'],
  { tid, furthest }: { tid: number; furthest: number },
): Promise<Found[]> {
  const { head } = await frontier(database);
  const about = { id: '', field: 'tid', kind: 'wrong', actual: tid, since: null, place: ITSELF };
  if (tid > head) return [{ ...about, expected: head }];
  return tid < furthest ? [{ ...about, expected: furthest }] : [];
}

async function keyProblems(database: RepairTools['database'], { name, kind }: Projection): Promise<Found[]> {
  const lost = await lostKeys(database, name);
  const about = { field: 'primary key', kind: 'missing', actual: null, since: null, place: ITSELF };
  return lost.map(({ table, key }) => ({ ...about, id: kind === 'keyed' ? '' : table, expected: key }));
}

function findKeyed(database: RepairTools['database'], projection: KeyedProjection): Check['find'] {
  return async (look) => {
    const keys = 'places' in look ? look.places.filter((place) => place !== ITSELF) : undefined;
    if (keys?.length === 0) return { found: [], rows: 0, next: null };
    const options = keys
      ? { keys: keys.map((key) => JSON.parse(key)) }
      : { ...afterOf(look as { after: string | null }), limit: (look as { limit: number }).limit };
    const compared = await compare(database, projection, options);
    const next = compared.last === null ? null : JSON.stringify(compared.last);
    // swapped for those of another version a moment ago
    if (compared.version !== projection.version) return ANEW;
    const found = compared.differences.map((difference) => toFound(difference, compared.tid, projection.key.length));
    return { found, rows: compared.keys, next };
  };
}

function afterOf({ after }: { after: string | null }): { after?: string[] } {
  return after === null ? {} : { after: JSON.parse(after) as string[] };
}

function findFolded(database: RepairTools['database'], projection: Projection): Check['find'] {
  return async () => {
    try {
      const { differences, tid } = await compareRebuilt(database, projection);
      const stored = await storedProjection(database, projection.name);
      if (stored?.version !== projection.version) return ANEW;
      const found = differences.map((difference) => toFound(difference, tid, 0));
      return { found, rows: 0, next: null, cut: differences.length >= MOST_REBUILT };
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'conflict') throw error;
      return { found: [], rows: 0, next: null, skipped: error.message };
    }
  };
}

function toFound({ table, id, field, kind, expected, actual, stale }: Difference, since: number, keyed: number): Found {
  const row = id.length === 1 ? String(id[0]) : JSON.stringify(id);
  const place = keyed === 0 ? table : JSON.stringify(id.slice(0, keyed));
  return { id: row, field, kind, expected, actual, since, place, stale };
}

function plan(projection: Projection, found: Found, accept: Accept | undefined): Plan {
  if (accept !== undefined) {
    throw new KernelError('invalid', `${projection.name} is computed: there is nothing to accept`);
  }
  return { does: isByKey(projection, [found]) ? 'computes its key anew' : 'makes the projection anew, and swaps it' };
}

/** Whether computing keys will do: a copy of a row it would not see, and of a checkpoint nobody knows what it hides. */
function isByKey(projection: Projection, found: readonly Found[]): projection is KeyedProjection {
  return projection.kind === 'keyed' && found.every(({ kind, place }) => kind !== 'duplicate' && place !== ITSELF);
}

async function repair({ database }: RepairTools, projection: Projection, found: readonly Found[]): Promise<void> {
  if (isByKey(projection, found)) {
    const keys = [...new Set(found.map(({ place }) => place as string))];
    await recomputeKeys(
      database,
      projection,
      keys.map((key) => JSON.parse(key)),
    );
    return;
  }
  if (found.some(({ place, actual, expected }) => place === ITSELF && Number(actual) > Number(expected))) {
    await distrustCheckpoint(database, projection.name);
  }
  await rebuild(database, projection, { anew: true });
}
