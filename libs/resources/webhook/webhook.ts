import { KernelError } from '#libs/database';
import { defineResource, type Resource } from '#libs/journal';
import { parseRowId } from '../row-id.ts';

/** Which changes a webhook is told of. */
export interface WebhookFilter {
  readonly resources: readonly string[];
  /** Only changes of these fields; a CREATE and a DELETE always count. Null: of any. */
  readonly fields: readonly string[] | null;
  /** Only changes of rows that belong to this project. Null: of all. */
  readonly project: string | null;
}

export interface WebhookRow {
  id: bigint;
  url: string;
  description: string;
  /** JSON as the database writes it. */
  filter: string;
  enabled: boolean;
  /** How many secrets it has been given. */
  secrets: number;
  row_version: number;
}

export const webhook: Resource<WebhookRow> = defineResource<WebhookRow>({ name: 'webhook' });

/** A secret that signs, without its text. */
export interface WebhookSecret {
  readonly number: number;
  readonly created: string;
  /** Null: until the next rotation. */
  readonly expires: string | null;
}

/** A webhook as clients see it. */
export interface Webhook {
  readonly id: string;
  readonly url: string;
  readonly description: string;
  readonly filter: WebhookFilter;
  readonly enabled: boolean;
  /** What its listener is called in the effect ledger. */
  readonly listener: string;
  /** The secrets that sign, the newest first. */
  readonly secrets: readonly WebhookSecret[];
  readonly row_version: number;
}

/** The listener of a webhook. No plugin's is called so: theirs have a dot in their names. */
export function webhookListenerName(id: string | bigint): string {
  return `webhook-${id}`;
}

/** The id of a text. Throws `not_found` for what no webhook can be called: it is as unknown as any other. */
export function webhookId(text: string): bigint {
  const id = parseRowId(text);
  if (id === undefined) throw noWebhook(text);
  return id;
}

/** The error of an id that no webhook has. */
export function noWebhook(id: string | bigint): KernelError {
  return new KernelError('not_found', `there is no webhook ${String(id).slice(0, 100)}`);
}
