import type { Queryable } from '#libs/database';
import type { EffectId } from '#libs/effects';

export interface UserRow {
  readonly name: string;
  readonly email: string | null;
  readonly roles: string[];
  readonly disabled: boolean;
  readonly mail: boolean;
  readonly mail_own: boolean;
}

/** The users of some names, and those with some addresses (in lower case). */
export async function selectMailUsers(
  db: Queryable,
  { names, addresses }: { names: readonly string[]; addresses: readonly string[] },
): Promise<UserRow[]> {
  const { rows } = await db.query<UserRow>(
    `SELECT name, email, roles, disabled IS NOT NULL AS disabled, mail, mail_own
       FROM tidemark.users WHERE name = ANY ($1) OR lower(email) = ANY ($2) ORDER BY name`,
    [names, addresses],
    'tidemark_mail_users',
  );
  return rows;
}

/** To which addresses the mail of an effect went already, or can never go. */
export async function selectMailed(db: Queryable, effect: EffectId): Promise<string[]> {
  const { rows } = await db.query<{ recipient: string }>(
    'SELECT recipient FROM tidemark.mails WHERE (listener, tid, resource, id) = ($1, $2::bigint, $3, $4)',
    [effect.listener, effect.tid, effect.resource, effect.id],
    'tidemark_mailed',
  );
  return rows.map(({ recipient }) => recipient);
}

/** A mail of an effect that the mail server has taken, or refused for good. */
export interface MailedRow {
  readonly recipient: string;
  readonly refused: string | null;
  readonly at: Date;
}

/** The mails of an effect of which it was noted what became of them, in their order. */
export async function listMailed(db: Queryable, effect: EffectId): Promise<MailedRow[]> {
  const { rows } = await db.query<MailedRow>(
    `SELECT recipient, refused, at FROM tidemark.mails
       WHERE (listener, tid, resource, id) = ($1, $2::bigint, $3, $4) ORDER BY at, recipient`,
    [effect.listener, effect.tid, effect.resource, effect.id],
  );
  return rows;
}

/** Notes that the mail of an effect went to an address, or why it never will. Nothing where the ledger has lost the effect meanwhile. */
export async function insertMailed(
  db: Queryable,
  effect: EffectId,
  recipient: string,
  refused: string | null = null,
): Promise<void> {
  await db.query(
    `INSERT INTO tidemark.mails (listener, tid, resource, id, recipient, refused)
       SELECT e.listener, e.tid, e.resource, e.id, $5, $6 FROM tidemark.effects e
         WHERE (e.listener, e.tid, e.resource, e.id) = ($1, $2::bigint, $3, $4)
       ON CONFLICT DO NOTHING`,
    [effect.listener, effect.tid, effect.resource, effect.id, recipient, refused],
    'tidemark_add_mailed',
  );
}

/** What a user wants of mail; undefined for an unknown user. */
export async function selectWishes(
  db: Queryable,
  user: string,
): Promise<{ mail: boolean; own_changes: boolean; address: string | null } | undefined> {
  const { rows } = await db.query<{ mail: boolean; own_changes: boolean; address: string | null }>(
    'SELECT mail, mail_own AS own_changes, email AS address FROM tidemark.users WHERE name = $1',
    [user],
  );
  return rows[0];
}

/** Sets what a user wants of mail; what is not given stays. */
export async function updateWishes(
  db: Queryable,
  user: string,
  { mail, own_changes }: { mail?: boolean | undefined; own_changes?: boolean | undefined },
): Promise<void> {
  await db.query(
    'UPDATE tidemark.users SET mail = coalesce($2, mail), mail_own = coalesce($3, mail_own) WHERE name = $1',
    [user, mail ?? null, own_changes ?? null],
  );
}
