import type { JournalEntry, Resource } from '#libs/journal';
import { DEFAULT_KERNEL } from './kernel-token.ts';
import type { Standing } from './on-change.ts';

/** A delivered change as an event of @nestjs/cqrs. */
export interface ChangedEvent<R = unknown> {
  readonly change: JournalEntry & { readonly values: Partial<R> };
  readonly as: Standing;
}

/** A class of such events: to be named in @EventsHandler() and ofType(). */
export type ChangedEventClass<R = unknown> = new (change: JournalEntry, as: Standing) => ChangedEvent<R>;

const classes = new Map<string, ChangedEventClass>();

/**
 * The class of a resource's events, the same one at each call: `const TicketChanged = changeEvent(ticket)`. Published by a
 * TidemarkModule with publishEvents; the second argument names its kernel, where there are several.
 */
export function changeEvent<R = unknown>(
  resource: string | Resource<R>,
  { kernel = DEFAULT_KERNEL }: { kernel?: string } = {},
): ChangedEventClass<R> {
  const name = typeof resource === 'string' ? resource : resource.name;
  const key = JSON.stringify([kernel, name]);
  const known = classes.get(key) ?? makeClass(name);
  classes.set(key, known);
  return known as ChangedEventClass<R>;
}

function makeClass(resource: string): ChangedEventClass {
  const Changed = class {
    readonly change: JournalEntry;
    readonly as: Standing;

    constructor(change: JournalEntry, as: Standing) {
      this.change = change;
      this.as = as;
    }
  };
  const name = `${resource.replaceAll(/(?:^|[^A-Za-z0-9]+)([A-Za-z0-9])/g, (_, first: string) => first.toUpperCase())}Changed`;
  Object.defineProperty(Changed, 'name', { value: name });
  return Changed;
}
