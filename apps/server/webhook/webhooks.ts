import type { Cache, CacheDefinition } from '#libs/dispatch';
import type { EffectListener, ListenerSource } from '#libs/effects';
import type { Config, Kernel } from '#libs/kernel';
import { WebhookAddresses, WebhookClient } from '#libs/listeners';
import { placeWebhooks, type WebhookFilters, type WebhookRules, webhookFilters } from '#libs/resources';
import { WebhookListener } from './webhook-listener.ts';

/** The listeners of a server's webhooks: one for each, which comes and goes with it, in every process. */
export class Webhooks implements ListenerSource {
  /** By what the input of a webhook is judged. */
  readonly rules: WebhookRules;
  readonly #kernel: Kernel;
  readonly #client: WebhookClient;
  readonly #cache: Cache<WebhookFilters>;
  readonly #listeners = new Map<string, WebhookListener>();
  #known: WebhookFilters = new Map();

  /** For a kernel that is not started yet. */
  constructor(kernel: Kernel, { webhookAllow }: Pick<Config, 'webhookAllow'>) {
    const addresses = new WebhookAddresses(webhookAllow);
    this.rules = { resources: kernel.resources, hostProblem: (host) => addresses.problem(host) };
    this.#kernel = kernel;
    this.#client = new WebhookClient({ addresses });
    this.#cache = kernel.dispatcher.cache(this.#followed());
    kernel.effects.follow(this);
  }

  get position(): number {
    return this.#cache.position;
  }

  get listeners(): readonly EffectListener[] {
    const state = this.#filters();
    for (const id of this.#listeners.keys()) if (!state.has(id)) this.#listeners.delete(id);
    for (const id of state.keys()) if (!this.#listeners.has(id)) this.#listeners.set(id, this.#listen(id));
    return [...this.#listeners.values()];
  }

  place(): Promise<void> {
    return placeWebhooks(this.#kernel.database);
  }

  /** Cuts off what is under way. After the kernel has stopped. */
  close(): void {
    this.#client.close();
  }

  #listen(id: string): WebhookListener {
    return new WebhookListener(id, this.#kernel, this.#client, () => this.#filters());
  }

  /** While the cache is loaded anew, as it was before: a sweep that has begun still goes by it. */
  #filters(): WebhookFilters {
    if (this.position >= 0) this.#known = this.#cache.state;
    return this.#known;
  }

  /** A new webhook is not to wait for the ledger's next look around. */
  #followed(): CacheDefinition<WebhookFilters> {
    return {
      ...webhookFilters,
      apply: (state, entry) => {
        webhookFilters.apply(state, entry);
        setImmediate(() => this.#kernel.effects.refresh());
      },
    };
  }
}
