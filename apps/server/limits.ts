/** What a server process gives at most, and how long it waits for a client. Times in milliseconds. */
export const LIMITS = {
  /** Open event streams and waiting long polls together, and those of one user: beyond them 503 and 429. */
  streams: 1_000,
  streamsPerUser: 500,
  /** A comment keeps an idle event stream open. */
  heartbeat: 15_000,
  /** A client of an event stream that takes nothing for so long is cut off. */
  stuck: 30_000,
  /** Metrics are asked of the database no more often than this. */
  look: 5_000,
  /** The head of a request, and the whole of it, must have come by then. */
  head: 20_000,
  request: 120_000,
} as const;

/** A server's limits; tests give smaller ones. */
export type Limits = { readonly [K in keyof typeof LIMITS]: number };
