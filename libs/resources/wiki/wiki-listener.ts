import type { Queryable } from '#libs/database';
import type { Effect, EffectListener } from '#libs/effects';
import { type JournalEntry, withOldValues } from '#libs/journal';
import { type ListeningOptions, listening, type OldValues, oldValues, type Told } from '../listening.ts';
import { findPageAt } from './wiki.queries.ts';
import { type Page, wiki } from './wiki.ts';

/**
 * What may happen to wiki pages, in the style of Trac's IWikiChangeListener. Each change is one call: one that gives a page another name is
 * a renaming, whatever else it changes. The page is as it was right after the change, though others may have followed.
 */
export interface WikiListener {
  pageAdded?(page: Page, told: Told): void | Promise<void>;
  /** `old`: what the fields that changed held before, such as text. */
  pageChanged?(page: Page, old: OldValues, told: Told): void | Promise<void>;
  /** The page as it was before. */
  pageDeleted?(page: Page, told: Told): void | Promise<void>;
  pageRenamed?(page: Page, oldName: string, told: Told): void | Promise<void>;
}

/**
 * A listener for Kernel.listen() out of one for pages: told of each change once, of those of one page in order, where `as` says. One that is
 * slow delays only itself; one that throws is called again if it is called for effects.
 */
export function wikiListener(db: Queryable, listener: WikiListener & ListeningOptions): EffectListener {
  return listening(listener, [wiki.name], async (entry, effect) => {
    if (listener[methodFor(entry)] !== undefined) await tell(db, listener, entry, effect);
  });
}

function methodFor({ change, values }: JournalEntry): keyof WikiListener {
  if (change === 'CREATE') return 'pageAdded';
  if (change === 'DELETE') return 'pageDeleted';
  return Object.hasOwn(values, 'name') ? 'pageRenamed' : 'pageChanged';
}

async function tell(db: Queryable, listener: WikiListener, entry: JournalEntry, effect?: Effect): Promise<void> {
  const method = methodFor(entry);
  const page = await findPageAt(db, entry.id, method === 'pageDeleted' ? entry.tid - 1 : entry.tid);
  const [change] = await withOldValues(db, [entry]);
  if (page === undefined || change === undefined) return;
  const told: Told = { change, ...(effect && { effect }) };
  if (method === 'pageAdded') await listener.pageAdded?.(page, told);
  else if (method === 'pageDeleted') await listener.pageDeleted?.(page, told);
  else if (method === 'pageRenamed') await listener.pageRenamed?.(page, String(change.fields['name']?.old), told);
  else await listener.pageChanged?.(page, oldValues(change, ['version']), told);
}
