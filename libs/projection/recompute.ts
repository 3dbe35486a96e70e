import { type ConnectionSource, runInTransaction } from '#libs/database';
import { frontier } from '#libs/journal';
import { prepare } from './advance.ts';
import { lockKeys } from './key-locks.ts';
import { type KeyedStatements, runSized } from './keyed-statements.ts';
import { beginAnewAt, holdCheckpoint } from './projection.queries.ts';
import type { KeyedProjection } from './projection.ts';

/** Computes some keys of a keyed projection anew from the source rows. Its checkpoint stays: what comes later is applied as ever. */
export async function recomputeKeys(
  database: ConnectionSource,
  projection: KeyedProjection,
  keys: readonly (readonly unknown[])[],
): Promise<void> {
  await runInTransaction(database, async (tx) => {
    await holdCheckpoint(tx, projection.name);
    const { statements } = await prepare(tx, projection);
    const made = statements as KeyedStatements;
    const given = keys.map((key) => JSON.stringify(key));
    if (projection.inline) await lockKeys(tx, projection, made, given);
    await runSized(tx, made.liveSome, given.length, [given]);
  });
}

/** Takes back a checkpoint that is further than the journal: what the rows reflect nobody knows, so a rebuild has to follow. */
export async function distrustCheckpoint(database: ConnectionSource, name: string): Promise<void> {
  await runInTransaction(database, async (tx) => {
    await holdCheckpoint(tx, name);
    await beginAnewAt(tx, name, (await frontier(tx)).safe);
  });
}
