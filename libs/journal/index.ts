export { type Actor, actorSetting } from './actor.ts';
export { Coalescer } from './coalescer.ts';
export { atVersion, type Condition, holds, staleError, versionTag } from './condition.ts';
export { decodeCursor, encodeCursor } from './cursor.ts';
export { type Change, comparePositions, type JournalEntry, type Position, utc } from './entry.ts';
export { parseExact } from './exact-json.ts';
export type { Committed } from './flush-statement.ts';
export {
  changesAt,
  changesOf,
  changesOfTid,
  entriesAt,
  frontier,
  type JournalPage,
  type ReadOptions,
  readChanges,
  readEntries,
  readEpoch,
  readPage,
} from './journal.queries.ts';
export { gatherJsonKeys } from './json-keys.ts';
export { checkRow, type JudgedRow, type May } from './may.ts';
export { type Enclosing, ModelTransaction, type ModelTransactionOptions } from './model-transaction.ts';
export { withOldValues } from './old-values.queries.ts';
export type { Created, Saved, SaveOptions, Staged } from './outcome.ts';
export { queryable } from './queryable.ts';
export {
  defineResource,
  findId,
  journalId,
  type Key,
  type Resource,
  type ResourceDefinition,
  type Row,
} from './resource.ts';
export { findIdAsOf, resolveAsOf, rowAsOf, rowsAsOf } from './time-travel.ts';
export type { Transacted, Writer } from './writer.ts';
