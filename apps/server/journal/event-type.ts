import type { Change } from '#libs/journal';

const PAST: Record<string, string> = { CREATE: 'created', MODIFY: 'modified', DELETE: 'deleted' };

/** What a change is called as an event: `wiki.modified`. */
export function eventType({ resource, change }: Pick<Change, 'resource' | 'change'>): string {
  return `${resource}.${PAST[change] ?? change.toLowerCase()}`;
}
