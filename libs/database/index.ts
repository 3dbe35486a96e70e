export {
  type Answer,
  Connection,
  type ConnectionSource,
  kyselyOver,
  type PipelinedStatement,
  type PipelineSource,
  type Queryable,
} from './connection.ts';
export {
  type ConnectionOptions,
  Database,
  type DatabaseOptions,
  type HostPool,
  type ListenClient,
  type PoolStatus,
} from './database.ts';
export { type DatabaseError, type ErrorCode, isUnreachable, KernelError, translate } from './errors.ts';
export { checkFitness } from './fitness.ts';
export { gathered } from './gathered.ts';
export { runInTransaction, SNAPSHOT, undo } from './run-in-transaction.ts';
