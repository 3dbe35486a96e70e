import { tailStatus, wholeTid } from '#libs/dispatch';
import { listListeners } from '#libs/effects';
import type { Kernel } from '#libs/kernel';
import { listProjections } from '#libs/projection';

export type Status = Awaited<ReturnType<typeof readStatus>>;

/** Where the journal stands, who holds it, which processes live, and how far this one has come. */
export async function readStatus(kernel: Kernel) {
  const { head, safe, floorHolders, processes } = await tailStatus(kernel.database);
  const { position, state, lastError, listeners, caches, doorbell } = kernel.dispatcher.status();
  return {
    ...{ head, safe, floor_holders: floorHolders, processes },
    process: {
      ...{ origin: kernel.origin, tail: state, position: wholeTid(position), last_error: lastError },
      doorbell: snakeCase(doorbell),
    },
    listeners: listeners.map((listener) => ({
      ...snakeCase(listener),
      position: wholeTid(listener.position),
    })),
    effects: await listListeners(kernel.database),
    projections: await listProjections(kernel.database, kernel.projections.all),
    caches: caches.map(snakeCase),
  };
}

function snakeCase(status: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(status).map(([name, value]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]),
  );
}
