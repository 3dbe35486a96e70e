import type { Queryable } from '#libs/database';
import { type Change, changesOf, utc } from '#libs/journal';
import { noWebhook, type Webhook, type WebhookFilter, webhook, webhookId, webhookListenerName } from './webhook.ts';

interface SelectedWebhook extends Omit<Webhook, 'row_version' | 'listener'> {
  readonly row_version: string;
}

const IN_FORCE = '(s.expires IS NULL OR s.expires > now())';
const COLUMNS = `w.id::text AS id, w.url, w.description, w.filter, w.enabled, w.row_version::text AS row_version,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('number', s.number, 'created', ${utc('s.created')}, 'expires', ${utc('s.expires')})
     ORDER BY s.number DESC), '[]') FROM webhook_secret s WHERE s.webhook_id = w.id AND ${IN_FORCE}) AS secrets`;

/** The webhook as it is. Throws `not_found`. */
export async function getWebhook(db: Queryable, id: string): Promise<Webhook> {
  const { rows } = await db.query<SelectedWebhook>(`SELECT ${COLUMNS} FROM webhook w WHERE w.id = $1`, [webhookId(id)]);
  if (!rows[0]) throw noWebhook(id);
  return toWebhook(rows[0]);
}

/** Webhooks in the order of their ids, after one of them. */
export async function listWebhooks(
  db: Queryable,
  { after = '0', limit }: { after?: string | undefined; limit: number },
): Promise<Webhook[]> {
  const { rows } = await db.query<SelectedWebhook>(
    `SELECT ${COLUMNS} FROM webhook w WHERE w.id > $1::bigint ORDER BY w.id LIMIT $2`,
    [after, limit],
  );
  return rows.map(toWebhook);
}

/** The changes of a webhook, the newest first, also of one that was deleted. Throws `not_found` when there never was one. */
export async function getWebhookHistory(
  db: Queryable,
  id: string,
  options: { before?: number; limit: number },
): Promise<Change[]> {
  const changes = await changesOf(db, webhook.name, String(webhookId(id)), options);
  if (changes.length === 0 && options.before === undefined) throw noWebhook(id);
  return changes;
}

/** Where a webhook's messages go, and the texts of the secrets that sign them, the newest first. */
export interface WebhookTarget {
  readonly url: string;
  readonly enabled: boolean;
  readonly filter: WebhookFilter;
  readonly secrets: readonly string[];
}

/** As it stands now; undefined when the webhook is gone. */
export async function findWebhookTarget(db: Queryable, id: string): Promise<WebhookTarget | undefined> {
  const { rows } = await db.query<WebhookTarget>(
    `SELECT w.url, w.enabled, w.filter, ARRAY(SELECT s.secret FROM webhook_secret s
         WHERE s.webhook_id = w.id AND ${IN_FORCE} ORDER BY s.number DESC) AS secrets
       FROM webhook w WHERE w.id = $1::bigint`,
    [id],
    'tidemark_webhook_target',
  );
  return rows[0];
}

/** Adds a secret of a webhook. */
export async function insertSecret(tx: Queryable, id: bigint, number: number, secret: string): Promise<void> {
  await tx.query('INSERT INTO webhook_secret (webhook_id, number, secret) VALUES ($1, $2, $3)', [id, number, secret]);
}

/** Lets the secrets that a webhook has end in so many seconds, if they do not before, and deletes those that have ended. */
export async function expireSecrets(tx: Queryable, id: bigint, seconds: number): Promise<void> {
  await tx.query('DELETE FROM webhook_secret WHERE webhook_id = $1 AND expires <= now()', [id]);
  await tx.query(
    `UPDATE webhook_secret SET expires = now() + $2 * interval '1 s'
       WHERE webhook_id = $1 AND (expires IS NULL OR expires > now() + $2 * interval '1 s')`,
    [id, seconds],
  );
}

/** Makes positions that webhooks lack: somebody has removed their listeners. A webhook that is being deleted is waited for. */
export async function placeWebhooks(db: Queryable): Promise<void> {
  await db.query(
    `INSERT INTO tidemark.listener_positions (listener, tid)
       SELECT $1::text || w.id, (SELECT safe FROM tidemark.frontier()) FROM webhook w
         WHERE NOT EXISTS (SELECT FROM tidemark.listener_positions l WHERE l.listener = $1::text || w.id)
         FOR KEY SHARE OF w
       ON CONFLICT (listener) DO NOTHING`,
    [webhookListenerName('')],
  );
}

function toWebhook({ row_version, ...selected }: SelectedWebhook): Webhook {
  return { ...selected, listener: webhookListenerName(selected.id), row_version: Number(row_version) };
}
