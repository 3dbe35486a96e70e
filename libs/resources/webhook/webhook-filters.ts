import type { CacheDefinition } from '#libs/dispatch';
import { type WebhookFilter, webhook } from './webhook.ts';

/** What decides whether a webhook is told of a change. */
export interface WebhookChoice {
  readonly filter: WebhookFilter;
  readonly enabled: boolean;
}

/** Of each webhook, by id. */
export type WebhookFilters = Map<string, WebhookChoice>;

/** The cache of what webhooks are told of, for Dispatcher.cache(). */
export const webhookFilters: CacheDefinition<WebhookFilters> = {
  name: 'webhook-filters',
  resources: [webhook.name],
  async load(db) {
    const rows = await db.selectFrom('webhook').select(['id', 'filter', 'enabled']).execute();
    return new Map(rows.map(({ id, filter, enabled }) => [String(id), { filter, enabled } as WebhookChoice]));
  },
  apply(webhooks, { id, change, values }) {
    if (change === 'DELETE') {
      webhooks.delete(id);
      return;
    }
    const before = webhooks.get(id);
    const filter = (values['filter'] as WebhookFilter | undefined) ?? before?.filter;
    const enabled = (values['enabled'] as boolean | undefined) ?? before?.enabled ?? true;
    if (filter) webhooks.set(id, { filter, enabled });
  },
};
