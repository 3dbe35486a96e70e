import { addressIn, addressKey } from './mail-words.ts';
import type { Notice } from './notice.ts';

/** A user as mail sees it. */
export interface MailUser {
  readonly name: string;
  readonly email: string | null;
  /** Whether the user may read what the mail is about, is not disabled, and wants mail. */
  readonly willing: boolean;
  /** Whether the user wants mail about changes of its own, too. */
  readonly own: boolean;
}

/** An address that a mail goes to, and why. */
export interface Recipient {
  readonly address: string;
  readonly reasons: readonly string[];
}

/**
 * To whom a notice goes. A name stands for its user's address, an address for itself; each address once. Nobody gets mail as the author of the
 * change, unless that user wants it. An address that belongs to users gets mail only if one of them is willing.
 */
export function recipientsOf({ author, concerned }: Notice, users: readonly MailUser[]): Recipient[] {
  const byName = new Map(users.map((user) => [user.name, user]));
  const byAddress = Map.groupBy(
    users.filter(({ email }) => email !== null),
    ({ email }) => addressKey(email as string),
  );
  const excluded = addressesOf(author, byName);
  const found = new Map<string, { address: string; reasons: Set<string> }>();
  for (const { who, why } of concerned) {
    const user = byName.get(who);
    if (user && !user.willing) continue;
    const address = addressIn(user ? (user.email ?? '') : who);
    if (address === undefined) continue;
    const key = addressKey(address);
    const owners = user ? [] : (byAddress.get(key) ?? []);
    if (excluded.has(key) || (owners.length > 0 && !owners.some(({ willing }) => willing))) continue;
    const recipient = found.get(key) ?? { address, reasons: new Set() };
    found.set(key, recipient);
    recipient.reasons.add(why);
  }
  return [...found.values()].map(({ address, reasons }) => ({ address, reasons: [...reasons] }));
}

/** Which users a notice may be about: by name, and by address. */
export function candidatesOf({ author, concerned }: Notice): { names: string[]; addresses: string[] } {
  const names = [...new Set([author, ...concerned.map(({ who }) => who)])];
  const addresses = names.flatMap((name) => addressIn(name) ?? []).map(addressKey);
  return { names, addresses };
}

function addressesOf(author: string, users: ReadonlyMap<string, MailUser>): ReadonlySet<string> {
  const user = users.get(author);
  const address = user?.own ? undefined : addressIn(user ? (user.email ?? '') : author);
  return new Set(address === undefined ? [] : [addressKey(address)]);
}
