import type { Log } from '#libs/dispatch';
import { Pruner } from '#libs/effects';
import type { Config, Kernel } from '#libs/kernel';
import { prunePropagations } from '#libs/resources';
import { pruneAnswers } from './idempotency/idempotency.queries.ts';

/** Deletes what a server keeps for a while, from now on; returns what ends it. */
export function startPruners({ database }: Kernel, { propagationKeepDays }: Config, log: Log): () => Promise<void> {
  const pruners = [
    new Pruner({ what: 'old answers of Idempotency-Keys', prune: (limit) => pruneAnswers(database, limit), log }),
    new Pruner({
      what: 'old propagations',
      prune: (limit) => prunePropagations(database, propagationKeepDays, limit),
      log,
    }),
  ];
  for (const pruner of pruners) pruner.start();
  return async () => {
    await Promise.all(pruners.map((pruner) => pruner.stop()));
  };
}
