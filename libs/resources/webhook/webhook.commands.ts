import { sql } from 'kysely';
import { KernelError } from '#libs/database';
import { discardEffects, forgetListener, placeListener } from '#libs/effects';
import {
  type Actor,
  atVersion,
  type Condition,
  holds,
  type Staged,
  staleError,
  type Transacted,
  versionTag,
  type Writer,
} from '#libs/journal';
import { webhookSecret } from '#libs/listeners';
import { expireSecrets, getWebhook, insertSecret } from './webhook.queries.ts';
import { type Webhook, webhook, webhookId, webhookListenerName } from './webhook.ts';
import { checkWebhook, type WebhookInput, type WebhookRules } from './webhook-input.ts';

/** The tid of a command, null when it changed nothing, and the webhook after it. */
export interface WebhookChanged {
  readonly tid: number | null;
  readonly webhook: Webhook;
}

/** The same with the text of a fresh secret, which nobody is told again. */
export interface WebhookSigned extends WebhookChanged {
  readonly secret: string;
}

/** For how many seconds the secrets before a rotation go on signing, unless it says. */
const OVERLAP = 86_400;

// Each of these changes more than one table: they take a writer that is an open transaction.

/** Has a receiver told of the changes after this one. Throws `invalid` that lists every field that is wrong. */
export async function createWebhook(
  tx: Writer,
  actor: Actor,
  input: WebhookInput,
  rules: WebhookRules,
  condition?: Condition,
): Promise<WebhookSigned> {
  if (condition && !holds(condition, undefined)) throw staleError(condition, 'a webhook that is being added');
  const values = checkWebhook(input, rules);
  const { tid, result } = await tx.transaction(actor, (model) => model.create(webhook, values));
  const id = String(result.row.id);
  const secret = webhookSecret();
  await insertSecret(tx.database, BigInt(id), 1, secret);
  await placeListener(tx.database, webhookListenerName(id), tid as number);
  return { tid, webhook: await getWebhook(tx.database, id), secret };
}

/** Changes what is given; the rest stays. Throws `not_found`, `invalid`, `stale` when the condition does not hold. */
export async function patchWebhook(
  tx: Writer,
  actor: Actor,
  id: string,
  patch: WebhookInput,
  rules: WebhookRules,
  condition?: Condition,
): Promise<WebhookChanged> {
  const values = checkWebhook(patch, rules);
  const key = webhookId(id);
  const update = tx.db
    .updateTable('webhook')
    .set(Object.keys(values).length > 0 ? values : { enabled: sql.ref('enabled') })
    .where('id', '=', key)
    .where(atVersion(condition))
    .returning('id');
  const { tid } = await met(tx, id, condition, await tx.transaction(actor, (model) => model.stage(update)));
  return { tid, webhook: await getWebhook(tx.database, id) };
}

/**
 * Gives a webhook a fresh secret; those that it has go on signing for `overlap` seconds. A rotation is a change of the webhook. Throws
 * `not_found`, `stale` when the condition does not hold.
 */
export async function rotateWebhook(
  tx: Writer,
  actor: Actor,
  id: string,
  overlap: number = OVERLAP,
  condition?: Condition,
): Promise<WebhookSigned> {
  const key = webhookId(id);
  const update = tx.db
    .updateTable('webhook')
    .set({ secrets: sql`secrets + 1` })
    .where('id', '=', key)
    .where(atVersion(condition))
    .returning('secrets');
  const { tid, result } = await met(tx, id, condition, await tx.transaction(actor, (model) => model.stage(update)));
  const secret = webhookSecret();
  await expireSecrets(tx.database, key, overlap);
  await insertSecret(tx.database, key, Number(result.rows[0]?.['secrets']), secret);
  return { tid, webhook: await getWebhook(tx.database, id), secret };
}

/**
 * Deletes a webhook with its secrets, forgets how far it was, and gives up what was not delivered yet; its history stays. Throws `not_found`,
 * `stale` when the condition does not hold.
 */
export async function deleteWebhook(
  tx: Writer,
  actor: Actor,
  id: string,
  condition?: Condition,
): Promise<{ id: string; tid: number; effects: number }> {
  const statement = tx.db.deleteFrom('webhook').where('id', '=', webhookId(id)).where(atVersion(condition));
  const work = await tx.transaction(actor, (model) => model.stage(statement.returning('id')));
  const { tid } = await met(tx, id, condition, work);
  const listener = webhookListenerName(id);
  await forgetListener(tx.database, listener);
  const effects = await discardEffects(tx.database, { listener });
  return { id, tid: tid as number, effects };
}

/** What has met its webhook. Throws with the reason when it has met none. */
async function met(
  { database }: Writer,
  id: string,
  condition: Condition | undefined,
  work: Transacted<Staged>,
): Promise<Transacted<Staged>> {
  if (work.result.rowCount > 0) return work;
  const found = await getWebhook(database, id);
  if (condition) throw staleError(condition, `webhook ${id}`, versionTag(found));
  throw new KernelError('conflict', 'another change came in between: try again');
}
