import { KernelError, type Queryable } from '#libs/database';
import { forgetListener } from './effects.queries.ts';
import { discardEffects } from './effects-admin.queries.ts';
import { unknownListener } from './listeners-admin.queries.ts';
import { countOpen, servingProcesses } from './remove-listener.queries.ts';

/**
 * Forgets a listener that no process has any more, in a transaction of the caller, which is to be rolled back when this throws: its position,
 * which holds back what may be pruned, and with it its effects that are not done, which are given up. Those that are done stay as long as
 * others. Returns how many were given up. Throws `not_found`, `conflict` while a living process has the listener, and `conflict`, telling what
 * would be done, unless it is to be done `really`.
 *
 * The position is deleted before the processes are looked at. A process that starts says that it has the listener, and adds the position
 * afterwards: so either it is seen here, or it waits for the end of this transaction and adds the position anew.
 */
export async function removeListener(tx: Queryable, listener: string, really: boolean): Promise<number> {
  if (!(await forgetListener(tx, listener))) throw unknownListener(listener);
  const processes = await servingProcesses(tx, listener);
  if (processes.length > 0) {
    const sentence = 'it can be removed once no process has it any more';
    throw new KernelError('conflict', `${listener} is served by ${processes.join(', ')}: ${sentence}`);
  }
  if (!really) {
    const given = effectsText(await countOpen(tx, listener));
    throw new KernelError('conflict', `${listener} is removed only with --yes: its position is forgotten${given}`);
  }
  return discardEffects(tx, { listener });
}

function effectsText(open: number): string {
  if (open === 0) return '';
  return open === 1
    ? ', and its effect that is not done given up'
    : `, and its ${open} effects that are not done given up`;
}
