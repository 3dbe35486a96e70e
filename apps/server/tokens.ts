/** What is injected: the kernel, and what lives as long as the server. */
export const KERNEL = Symbol('kernel');
export const PAGE_NAMES = Symbol('page names');
export const STREAMS = Symbol('streams');
