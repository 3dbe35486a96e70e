import type { Queryable } from '#libs/database';
import type { Change, JournalEntry, Resource } from '#libs/journal';
import type { Identity } from './identity.ts';
import type { Permissions } from './permissions.ts';
import { type Projects, RowProjects } from './row-projects.ts';

/** Whether somebody may read the rows of a resource: all, those of some projects, or none. */
export type Reach = 'all' | 'some' | 'none';

/** Which rows of a resource somebody may read, for a condition in SQL: those of these projects, or all but those of these. */
export interface ReadableProjects {
  readonly kind: 'only' | 'all but';
  readonly projects: readonly string[];
}

/**
 * What one caller may read of a journaled database. A resource without `project` is read by those whose roles everywhere allow it; a row of
 * one with it, by those whose roles in its project do; a change that moves a row, by those who may read either side.
 */
export class Visibility {
  readonly #identity: Identity | undefined;
  readonly #permissions: Permissions;
  readonly #resources: ReadonlyMap<string, Resource>;
  readonly #reach = new Map<string, Reach>();

  constructor(identity: Identity | undefined, permissions: Permissions, resources: ReadonlyMap<string, Resource>) {
    this.#identity = identity;
    this.#permissions = permissions;
    this.#resources = resources;
  }

  /** How much of a resource the caller may read, known to this program or only to the database. */
  reach(resource: string): Reach {
    const known = this.#reach.get(resource) ?? this.#judge(resource);
    this.#reach.set(resource, known);
    return known;
  }

  /** Whether the caller may read a row that belongs to a project; to none: null. */
  mayRead(resource: string, project: string | null): boolean {
    const reach = this.reach(resource);
    return reach === 'some' ? this.#permissions.may(this.#identity, resource, 'read', project) : reach === 'all';
  }

  /** Whether the caller may read a change of a row with these projects. */
  sees(resource: string, projects: Projects): boolean {
    const reach = this.reach(resource);
    if (reach !== 'some') return reach === 'all';
    return projects?.some((project) => this.mayRead(resource, project)) ?? false;
  }

  /**
   * Those of some changes that the caller may read, in their order. A walk through the journal, in order and given all of it, saves asking
   * again for rows that it has passed; it may go on with another visibility.
   */
  async visible<E extends JournalEntry | Change>(
    db: Queryable,
    entries: readonly E[],
    walk?: RowProjects,
  ): Promise<E[]> {
    const judged = walk ? entries : entries.filter(({ resource }) => this.reach(resource) === 'some');
    const found = await (walk ?? new RowProjects(this.#resources)).of(db, judged);
    const projects = new Map(found.map((some, n) => [judged[n], some]));
    return entries.filter((entry) => this.sees(entry.resource, projects.get(entry)));
  }

  /** The projects whose rows the caller may read, for a list in SQL. */
  projects(resource: string): ReadableProjects {
    const everywhere = this.#permissions.may(this.#identity, resource, 'read');
    const special = [...(this.#identity?.projects.keys() ?? [])].filter(
      (project) => this.#permissions.may(this.#identity, resource, 'read', project) !== everywhere,
    );
    return { kind: everywhere ? 'all but' : 'only', projects: special };
  }

  #judge(resource: string): Reach {
    const everywhere = this.#permissions.may(this.#identity, resource, 'read');
    if (this.#resources.get(resource)?.project === undefined || this.projects(resource).projects.length === 0) {
      return everywhere ? 'all' : 'none';
    }
    return 'some';
  }
}
