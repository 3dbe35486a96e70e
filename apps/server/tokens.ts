/** What is injected: the kernel, and what lives as long as the server. */
export const KERNEL = Symbol('kernel');
export const PAGE_NAMES = Symbol('page names');
export const INTER_MAP = Symbol('inter map');
export const STREAMS = Symbol('streams');
export const WORKFLOW = Symbol('workflow');
export const WEBHOOKS = Symbol('webhooks');
/** What validates shots and assets: the kernel, and the metrics that it is told to. */
export const VALIDATING = Symbol('validating');
export const METRICS = Symbol('metrics');
/** Gives the OpenAPI document as JSON. */
export const OPEN_API = Symbol('OpenAPI document');
