import type { JournalEntry } from '#libs/journal';
import type { Listener } from './listener.ts';

/** How this process stands to a change. Muted: its own, made with `meta.effects = false`. */
export type Standing = 'primary' | 'secondary' | 'muted';

/** A change without an origin is nobody's own: every process is secondary to it. */
export function standing(entry: JournalEntry, origin: string): Standing {
  if (entry.origin !== origin) return 'secondary';
  return entry.meta?.['effects'] === false ? 'muted' : 'primary';
}

/**
 * Tells a listener of one change: false when it has no method for its standing; throws what the listener throws. Side effects start here
 * and nowhere else, from memory after the commit: a process that dies before this point has not run them.
 */
export async function runListener(listener: Listener, entry: JournalEntry, as: Standing): Promise<boolean> {
  if (as === 'primary' && listener.onPrimary) await listener.onPrimary(entry);
  else if (as === 'secondary' && listener.onSecondary) await listener.onSecondary(entry);
  else return false;
  return true;
}
