import type { Queryable } from '#libs/database';
import type { Change, JournalEntry, Resource } from '#libs/journal';
import { type Before, selectProjectsBefore } from './row-projects.queries.ts';

/**
 * The projects by which one journal entry is judged: that of its row after the change and, where that was another, before it; null stands for
 * none. Undefined for a resource whose rows belong to no projects.
 */
export type Projects = readonly (string | null)[] | undefined;

type Entry = JournalEntry | Change;

const MAX_ROWS = 50_000;

/**
 * Says for journal entries to which projects their rows belonged at that moment. What it has seen of a row saves asking the database, so one
 * of these is for one walk through the journal, in order; a later walk, or one backwards, takes a new one.
 */
export class RowProjects {
  readonly #resources: ReadonlyMap<string, Resource>;
  readonly #known = new Map<string, string | null>();

  constructor(resources: ReadonlyMap<string, Resource>) {
    this.#resources = resources;
  }

  /** For each of some entries, which may come in any order among themselves. At most one statement. */
  async of(db: Queryable, entries: readonly Entry[]): Promise<Projects[]> {
    const scoped = entries.flatMap((entry, n) => {
      const column = this.#resources.get(entry.resource)?.project;
      return column === undefined ? [] : [{ entry, n, column, row: `${entry.resource}\0${entry.id}` }];
    });
    const projects: Projects[] = entries.map(() => undefined);
    if (scoped.length === 0) return projects;
    scoped.sort((a, b) => a.entry.tid - b.entry.tid);
    await this.#learn(db, scoped);
    for (const { entry, n, column, row } of scoped) projects[n] = this.#pass(entry, column, row);
    if (this.#known.size > MAX_ROWS) this.#known.clear();
    return projects;
  }

  async #learn(db: Queryable, scoped: readonly { entry: Entry; column: string; row: string }[]): Promise<void> {
    const unknown = new Map<string, Before>();
    const met = new Set<string>();
    for (const { entry, column, row } of scoped) {
      const { resource, tid, id, change } = entry;
      if (!met.has(row) && !this.#known.has(row) && change !== 'CREATE')
        unknown.set(row, { resource, tid, id, field: column });
      met.add(row);
    }
    const found = await selectProjectsBefore(db, [...unknown.values()]);
    for (const [n, row] of [...unknown.keys()].entries()) this.#known.set(row, found[n] ?? null);
  }

  #pass(entry: Entry, column: string, row: string): Projects {
    const before = entry.change === 'CREATE' ? undefined : (this.#known.get(row) ?? null);
    if (entry.change === 'DELETE') {
      this.#known.delete(row);
      return [before ?? null];
    }
    const given = newValue(entry, column);
    const after = given === undefined ? (before ?? null) : given;
    this.#known.set(row, after);
    return before === undefined || before === after ? [after] : [before, after];
  }
}

/** What a change has made of a field; undefined when it left it as it was. */
function newValue(entry: Entry, field: string): string | null | undefined {
  const value = 'values' in entry ? entry.values[field] : entry.fields[field]?.new;
  const named = Object.hasOwn('values' in entry ? entry.values : entry.fields, field);
  if (!named) return undefined;
  return value === null || value === undefined ? null : String(value);
}
