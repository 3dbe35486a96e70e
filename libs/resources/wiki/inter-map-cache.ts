import type { Queryable } from '#libs/database';
import type { CacheDefinition } from '#libs/dispatch';
import { INTER_MAP_PAGE, type InterMap, parseInterMap } from './inter-map.ts';
import { findPage } from './wiki.queries.ts';

/** The prefixes of InterMapTxt: read when they are asked for, and anew when that page has changed. */
export class InterMapState {
  #id: string | undefined;
  #map: Promise<InterMap> | undefined;

  constructor(id?: string) {
    this.#id = id;
  }

  /** The map as of what the cache has applied, or later. */
  get(db: Queryable): Promise<InterMap> {
    if (this.#map) return this.#map;
    const reading = findPage(db, INTER_MAP_PAGE).then((page) => parseInterMap(page?.text ?? ''));
    reading.catch(() => {
      if (this.#map === reading) this.#map = undefined;
    });
    this.#map = reading;
    return reading;
  }

  /** Told of each change of a page, with its new name if that has changed. */
  changed(id: string, name: unknown, deleted: boolean): void {
    const bears = name === INTER_MAP_PAGE;
    if (id !== this.#id && !bears) return;
    this.#map = undefined;
    if (bears) this.#id = id;
    else if (deleted || name !== undefined) this.#id = undefined;
  }
}

/** The cache of InterWiki prefixes, for Dispatcher.cache(): it follows InterMapTxt through changes, renames and deletions by anybody. */
export const interMap: CacheDefinition<InterMapState> = {
  name: 'inter-map',
  resources: ['wiki'],
  async load(db) {
    const row = await db.selectFrom('wiki').select('id').where('name', '=', INTER_MAP_PAGE).executeTakeFirst();
    return new InterMapState(row && String(row['id']));
  },
  apply(state, entry) {
    state.changed(entry.id, entry.values['name'], entry.change === 'DELETE');
  },
};
