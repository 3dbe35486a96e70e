import { KernelError, type Queryable } from '#libs/database';
import { selectWishes, updateWishes } from './mail.queries.ts';

/** What a user wants of mail. */
export interface MailWishes {
  /** Whether any at all. */
  readonly mail: boolean;
  /** Also about changes that the user has made. */
  readonly own_changes: boolean;
  /** Where it goes; null as long as nobody has given an address. */
  readonly address: string | null;
}

/** What a user wants of mail. Throws `not_found` for a name that is no user's. */
export async function getMailWishes(db: Queryable, user: string): Promise<MailWishes> {
  const wishes = await selectWishes(db, user);
  if (wishes === undefined) throw new KernelError('not_found', `there is no user ${JSON.stringify(user)}`);
  return wishes;
}

/** Sets what a user wants of mail, from the next one on; what is not given stays. Throws `not_found`. */
export async function setMailWishes(
  db: Queryable,
  user: string,
  wishes: { mail?: boolean | undefined; own_changes?: boolean | undefined },
): Promise<MailWishes> {
  await updateWishes(db, user, wishes);
  return getMailWishes(db, user);
}
