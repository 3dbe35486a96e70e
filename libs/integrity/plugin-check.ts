import { type ConnectionSource, KernelError, runInTransaction, SNAPSHOT } from '#libs/database';
import { type Accept, type Check, type CheckDefinition, type Found, type Plan } from './check.ts';

/** A check that a program or a plugin has defined, under its full name. */
export function definedCheck(database: ConnectionSource, name: string, definition: CheckDefinition): Check {
  const { resource, repair } = definition;
  return {
    ...{ name, resource, whole: false },
    find: (look) => runInTransaction(database, (snapshot) => definition.find(snapshot, look), SNAPSHOT),
    plan(_found: Found, accept: Accept | undefined): Plan {
      if (accept !== undefined) {
        throw new KernelError('invalid', `the check ${name} knows what is right: there is nothing to accept`);
      }
      return repair ? { does: `what ${name} does about it` } : { refused: `the check ${name} can only find` };
    },
    async apply({ atomic }, actor, found) {
      await atomic(async (writer) => definition.repair?.(writer, actor, found));
    },
  };
}
