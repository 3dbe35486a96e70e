export {
  type Answer,
  Connection,
  type ConnectionSource,
  kyselyOver,
  type PipelinedStatement,
  type PipelineSource,
  type Queryable,
} from './connection.ts';
export { Database, type DatabaseOptions, type ListenClient } from './database.ts';
export { type DatabaseError, type ErrorCode, isUnreachable, KernelError, translate } from './errors.ts';
export { checkFitness } from './fitness.ts';
export { type MigrationStatus, migrate, migrationStatus, migrationsFolder, refuseNewer } from './migrate.ts';
