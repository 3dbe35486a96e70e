export type { Cache, CacheDefinition, CacheStatus } from './cache.ts';
export type { FloorHolder, ProcessStatus } from './dispatch.queries.ts';
export { Dispatcher, type DispatcherOptions, type DispatchStatus } from './dispatcher.ts';
export type { DoorbellStatus } from './doorbell.ts';
export type { Listener, ListenerStatus, Log } from './listener.ts';
export { wholeTid } from './page.ts';
export { type JournalStatus, tailStatus } from './status.ts';
export { Tail, type TailOptions, type TailStatus } from './tail.ts';
