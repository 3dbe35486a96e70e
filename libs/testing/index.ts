export { settled } from './settled.ts';
export { type TestDatabase, type TestDatabaseOptions, testDatabase } from './test-database.ts';
