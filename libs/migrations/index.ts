export {
  coreStatus,
  type HostMigrations,
  type MigrationStatus,
  migrate,
  migrateDatabase,
  migrationStatus,
  refuseNewer,
} from './migrate.ts';
export { migrationsFolder } from './migration-files.ts';
export type { PluginMigrations } from './migration-plan.ts';
