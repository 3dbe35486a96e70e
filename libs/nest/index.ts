export { type ChangedEvent, type ChangedEventClass, changeEvent } from './changed-event.ts';
export { InjectKernel, kernelToken } from './kernel-token.ts';
export { type ListenerMethod, OnChange, type OnChangeOptions, type Standing } from './on-change.ts';
export { type TidemarkExtras, TidemarkModule, type TidemarkOptions } from './tidemark.module.ts';
