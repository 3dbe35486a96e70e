import { randomUUID } from 'node:crypto';

/** How long the others wait for a process that says nothing, before they take its work. Renewed every two seconds. */
export const LEASE = 7_000;
// The database counts from when the renewal arrives there, this process from before it was sent; and its clock may tick otherwise.
const MARGIN = 500;

/**
 * What a process may hold work under. When it could not be renewed in time, because the process was stopped or the database away, the
 * others may have taken what was held: it is never picked up again, a new one begins.
 */
export class Lease {
  #id: string = randomUUID();
  #until = Number.NEGATIVE_INFINITY;

  /** The lease, if it has not run out: judged by the clock of this machine, earlier than the database would. */
  get current(): string | undefined {
    return performance.now() < this.#until ? this.#id : undefined;
  }

  /** Renews it by an action that tells the database. */
  async renew(tell: (id: string) => Promise<void>): Promise<void> {
    const asked = performance.now();
    if (asked >= this.#until) this.#id = randomUUID();
    await tell(this.#id);
    this.#until = asked + LEASE - MARGIN;
  }
}
