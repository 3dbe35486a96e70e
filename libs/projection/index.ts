export { type Compared, type CompareOptions, compare, compareWithin } from './compare.ts';
export type { Difference } from './difference.ts';
export type { FollowerStatus } from './follower.ts';
export {
  holdCheckpoint,
  lostKeys,
  type StoredProjection,
  storedProjection,
  storedProjections,
} from './projection.queries.ts';
export {
  defineProjection,
  type FoldProjection,
  isProjection,
  type KeyedProjection,
  type KeyedSource,
  type Projection,
  sourcesOf,
  tablesOf,
  unregistered,
} from './projection.ts';
export { Projections } from './projections.ts';
export { COUNTED, listProjections, type ProjectionRow } from './projections-admin.queries.ts';
export {
  compareRebuilt,
  type RebuildOptions,
  type RebuildProgress,
  type RebuildSource,
  type Rebuilt,
  rebuild,
} from './rebuild.ts';
export { distrustCheckpoint, recomputeKeys } from './recompute.ts';
