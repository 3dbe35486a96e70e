/** A pause that can be cut short. A ring while nobody waits is remembered; one waiter at a time. */
export class Alarm {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Returns after the time, or at the next ring; without a time only at a ring. */
  async wait(milliseconds?: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = milliseconds === undefined ? undefined : setTimeout(resolve, milliseconds);
    this.#wake = resolve;
    if (!this.#rung) await promise;
    clearTimeout(timer);
    this.#rung = false;
  }
}

/** How long to wait before the next try after so many failures: doubling to a limit, and spread, so that many processes do not return at once. */
export function backoff(failures: number, first: number, limit: number): number {
  return Math.min(limit, first * 2 ** Math.min(failures - 1, 20)) * (0.5 + Math.random() / 2);
}

/** What an error says. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
