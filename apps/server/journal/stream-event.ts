import { setTimeout as pause } from 'node:timers/promises';
import { type Projects, RowProjects } from '#libs/access';
import { KernelError, translate } from '#libs/database';
import { after, PageReader } from '#libs/dispatch';
import { type Change, encodeCursor, type JournalEntry, type Position, withOldValues } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import { eventType } from './event-type.ts';

/** One change as the bytes that every client gets alike, and what decides whether one gets them. */
export interface StreamEvent {
  readonly entry: JournalEntry;
  readonly projects: Projects;
  readonly bytes: Buffer;
}

/** Events in order, perhaps none, and the position that they lead to. */
export interface EventBatch {
  readonly events: readonly StreamEvent[];
  readonly position: Position;
}

// So many changes are rendered at a time, fewer when their old values are large: versions of a wiki page may have 5 MB each.
const SLICE = 64;
const SLICE_BYTES = 1024 * 1024;
const PAGE = { entries: SLICE, bytes: 512 * 1024 };
// The pool is not theirs alone, and a page read for each of 300 clients at once would fill the memory.
const READERS = 4;
const AGAIN = 500;

/** Makes events of journal entries. A database that goes away is waited for. */
export class EventReader {
  readonly #kernel: Kernel;
  #free = READERS;
  readonly #queue: (() => void)[] = [];

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** The events of the first of some entries on a walk through the journal: as many as fit, one at least. */
  async render(entries: readonly JournalEntry[], walk: RowProjects, signal: AbortSignal): Promise<StreamEvent[]> {
    const { database, epoch } = this.#kernel;
    const slice = entries.slice(0, SLICE);
    const changes = await patiently(() => withOldValues(database, slice, { bytes: SLICE_BYTES }), signal);
    const rendered = slice.slice(0, changes.length);
    const projects = await patiently(() => walk.of(database, rendered), signal);
    return rendered.map((entry, n) => ({
      ...{ entry, projects: projects[n] },
      bytes: Buffer.from(eventText(encodeCursor(epoch, after(entry)), changes[n] as Change)),
    }));
  }

  /** For one walk through the journal. */
  walk(): RowProjects {
    return new RowProjects(this.#kernel.resources);
  }

  /** For one client that is behind. */
  pages(resource: string | undefined): PageReader {
    return new PageReader(this.#kernel.database, resource, PAGE);
  }

  /** Some events after a position, up to a safe tid. Few clients are read for at once; the others wait in line. */
  async read(pages: PageReader, from: Position, upto: number, signal: AbortSignal): Promise<EventBatch> {
    await this.#turn();
    try {
      if (signal.aborted) return { events: [], position: from };
      const page = await patiently(() => pages.read(from, upto), signal);
      if (page.entries.length === 0) return { events: [], position: { tid: upto } };
      const events = await this.render(page.entries, this.walk(), signal);
      const last = events.at(-1) as StreamEvent;
      const all = events.length === page.entries.length && !page.cut;
      return { events, position: all ? { tid: upto } : after(last.entry) };
    } finally {
      this.#leave();
    }
  }

  async #turn(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
  }

  #leave(): void {
    const next = this.#queue.shift();
    if (next) next();
    else this.#free++;
  }
}

async function patiently<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const known = translate(error);
      if (!(known instanceof KernelError) || known.code !== 'unavailable') throw error;
    }
    await pause(AGAIN, undefined, { signal });
  }
}

function eventText(cursor: string, change: Change): string {
  return `id: ${cursor}\nevent: ${eventType(change)}\ndata: ${JSON.stringify(change)}\n\n`;
}
