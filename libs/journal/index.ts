export { type Actor, actorSetting } from './actor.ts';
export { Coalescer } from './coalescer.ts';
export { decodeCursor, encodeCursor } from './cursor.ts';
export type { Change, JournalEntry, Position } from './entry.ts';
export { parseExact } from './exact-json.ts';
export type { Committed } from './flush-statement.ts';
export {
  changesOf,
  changesOfTid,
  frontier,
  type JournalPage,
  type ReadOptions,
  readChanges,
  readEntries,
  readEpoch,
  readPage,
  withOldValues,
} from './journal.queries.ts';
export {
  type Created,
  ModelTransaction,
  type ModelTransactionOptions,
  type Staged,
} from './model-transaction.ts';
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
