import type { Resource } from '#libs/journal';
import { wiki } from './wiki/wiki.ts';

export { PageNames, pageNames } from './wiki/page-names.ts';
export * from './wiki/wiki.commands.ts';
export * from './wiki/wiki.queries.ts';
export * from './wiki/wiki.ts';

/** Every resource of the domain: what an app hands to its kernel. */
export const resources: Resource[] = [wiki];
