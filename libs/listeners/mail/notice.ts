/** Somebody whom a change concerns. */
export interface Concerned {
  /** The name of a user, or an address. */
  readonly who: string;
  /** What makes it so, for the end of "You get this as …". */
  readonly why: string;
}

/** What a mail is to tell of a change, and whom. */
export interface Notice {
  /** Who made the change: not told of it, unless that user wants to be. */
  readonly author: string;
  readonly concerned: readonly Concerned[];
  /** What a user must be allowed to read to be told. */
  readonly resource: string;
  /** What the mails about one thing have in common: `ticket-7`. */
  readonly thread: string;
  readonly subject: string;
  /** Whether it goes on about something that mails may have told of before. */
  readonly reply: boolean;
  readonly text: string;
}
