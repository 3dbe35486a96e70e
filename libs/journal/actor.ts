/** Who makes a change, from where and why: stored with each of its journal rows. */
export interface Actor {
  /** A claim of the program; the journal's `db_role` is the evidence. */
  readonly author: string;
  readonly ipnr?: string | null;
  readonly authenticated?: boolean;
  readonly comment?: string | null;
  /** `{ effects: false }` mutes side effects: for the importer and the owner only. */
  readonly meta?: Record<string, unknown>;
  /** The time to journal instead of the clock's: for the importer and the owner only. */
  readonly time?: Date;
}

/** The setting `tidemark.actor`: what the triggers read. A flush names itself and its ModelTransaction in it. */
export function actorSetting(
  actor: Actor,
  origin: string,
  names: { flush?: string; transaction?: string } = {},
): string {
  return JSON.stringify({
    author: actor.author,
    ipnr: actor.ipnr ?? undefined,
    authenticated: actor.authenticated,
    comment: actor.comment ?? undefined,
    meta: actor.meta,
    time: actor.time?.toISOString(),
    origin,
    ...names,
  });
}
