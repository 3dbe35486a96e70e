import { RowProjects } from '#libs/access';
import { type Effect, type EffectListener, GiveUp, TryLater } from '#libs/effects';
import { type Change, type JournalEntry, withOldValues } from '#libs/journal';
import { type Kernel, version } from '#libs/kernel';
import { type WebhookAnswer, type WebhookClient, webhookId, webhookSignature } from '#libs/listeners';
import { findWebhookTarget, type WebhookFilter, type WebhookFilters, webhookListenerName } from '#libs/resources';
import { eventType } from '../journal/event-type.ts';

const CONCURRENCY = 5;
const GONE = 410;

/**
 * The listener of one webhook: one message for each change that its filter wants. Where it goes and what signs it is read at each attempt, so
 * that what an admin mends or rotates counts at once, in every process.
 */
export class WebhookListener implements EffectListener {
  readonly name: string;
  readonly concurrency = CONCURRENCY;
  readonly #id: string;
  readonly #kernel: Kernel;
  readonly #client: Pick<WebhookClient, 'post'>;
  readonly #filters: () => WebhookFilters;

  constructor(id: string, kernel: Kernel, client: Pick<WebhookClient, 'post'>, filters: () => WebhookFilters) {
    this.name = webhookListenerName(id);
    this.#id = id;
    this.#kernel = kernel;
    this.#client = client;
    this.#filters = filters;
  }

  /** None while it is disabled: those changes pass it by. */
  get resources(): readonly string[] {
    const choice = this.#filters().get(this.#id);
    return choice?.enabled ? choice.filter.resources : [];
  }

  get fields(): readonly string[] | undefined {
    return this.#filters().get(this.#id)?.filter.fields ?? undefined;
  }

  /**
   * Returns once the receiver has taken the message, and for a change of another project. Throws when it has not: GiveUp when it is gone for
   * good or the webhook is disabled, TryLater when it has said when.
   */
  async onPrimary(entry: JournalEntry, effect: Effect): Promise<void> {
    const { database } = this.#kernel;
    const target = await findWebhookTarget(database, this.#id);
    // deleted this moment: nobody waits for it any more
    if (!target) return;
    if (!target.enabled) throw new GiveUp(`webhook ${this.#id} is disabled`);
    if (target.secrets.length === 0) throw new GiveUp(`webhook ${this.#id} has no secret: rotate it to give it one`);
    if (!(await this.#isOfProject(entry, target.filter))) return;
    const [change] = await withOldValues(database, [entry]);
    const body = JSON.stringify(message(change as Change));
    const url = new URL(target.url);
    refuseUnlessTaken(url, await this.#client.post(url, headers(effect, body, target.secrets), body));
  }

  async #isOfProject(entry: JournalEntry, { project }: WebhookFilter): Promise<boolean> {
    if (project === null) return true;
    const { database, resources } = this.#kernel;
    const [projects] = await new RowProjects(resources).of(database, [entry]);
    return projects?.includes(project) ?? false;
  }
}

/** What a receiver gets of a change. */
function message(change: Change) {
  return { type: eventType(change), timestamp: change.time, data: change };
}

function headers({ key }: Effect, body: string, secrets: readonly string[]): Record<string, string> {
  const id = webhookId(key);
  const timestamp = Math.floor(Date.now() / 1_000);
  return {
    'content-type': 'application/json; charset=utf-8',
    'user-agent': `Tidemark/${version}`,
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': webhookSignature({ id, timestamp, body }, secrets),
    'idempotency-key': id,
  };
}

function refuseUnlessTaken({ host }: URL, { status, retryAfter }: WebhookAnswer): void {
  if (status >= 200 && status <= 299) return;
  if (status === GONE) throw new GiveUp(`${host} answered 410: it wants no more of this`);
  const why = `${host} answered ${status}${status >= 300 && status <= 399 ? ': redirects are not followed' : ''}`;
  throw retryAfter === undefined ? new Error(why) : new TryLater(why, retryAfter);
}
