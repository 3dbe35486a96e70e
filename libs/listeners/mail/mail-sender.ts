import type { Identity, Permissions } from '#libs/access';
import { isRole } from '#libs/access';
import type { Queryable } from '#libs/database';
import { type Log, reason } from '#libs/dispatch';
import { type Effect, type EffectId, effectKey, GiveUp, parseEffectKey } from '#libs/effects';
import { readEpoch } from '#libs/journal';
import { insertMailed, selectMailed, selectMailUsers, type UserRow } from './mail.queries.ts';
import { addressKey, bodyText, messageId, threadId } from './mail-words.ts';
import { type Mailer, MailRefused } from './mailer.ts';
import type { Notice } from './notice.ts';
import { candidatesOf, type MailUser, type Recipient, recipientsOf } from './recipients.ts';

export interface MailSenderOptions {
  readonly database: Queryable;
  readonly mailer: Pick<Mailer, 'send'>;
  readonly permissions: Permissions;
  readonly log: Log;
}

// Whoever was stopped for longer may have been overtaken by another process.
const LOOK_AGAIN = 3_000;

/**
 * Sends the mails of an effect, one to each recipient, and notes each that the server has taken: so an attempt after a failure or a crash
 * leaves out who has got it already.
 */
export class MailSender {
  readonly #options: MailSenderOptions;
  #epoch: Promise<string> | undefined;

  constructor(options: MailSenderOptions) {
    this.#options = options;
  }

  /**
   * Returns once every recipient has the mail, or can never have it, of which a note is made. Throws when some may have it later; GiveUp
   * when the mail server has refused all of them for good.
   */
  async send(notice: Notice, effect: Effect): Promise<void> {
    const recipients = await this.#recipients(notice);
    if (recipients.length === 0) return;
    const id = parseEffectKey(effect.key) as EffectId;
    const mailed = new Mailed(this.#options.database, id);
    const failed: string[] = [];
    const refused: { address: string; why: string }[] = [];
    for (const recipient of recipients) {
      const { address } = recipient;
      if (await mailed.has(address)) continue;
      try {
        await this.#sendTo(recipient, notice, id);
      } catch (error) {
        if (error instanceof MailRefused) refused.push({ address, why: reason(error) });
        // without a server there is no use in trying the others
        else if (isOfRecipient(error)) failed.push(`${address}: ${reason(error)}`);
        else throw error;
        continue;
      }
      await mailed.add(address);
    }
    if (failed.length > 0) throw new Error(`not yet sent to ${failed.join('; ')}`);
    await this.#noteRefused(mailed, refused, id);
  }

  async #noteRefused(
    mailed: Mailed,
    refused: readonly { address: string; why: string }[],
    id: EffectId,
  ): Promise<void> {
    if (refused.length === 0) return;
    const list = refused.map(({ address, why }) => `${address}: ${why}`).join('; ');
    // Noted, they would be left out when somebody has mended what was wrong and tries again.
    if (mailed.size === 0) throw new GiveUp(`the mail server has refused all recipients: ${list}`);
    for (const { address, why } of refused) await mailed.add(address, why);
    this.#options.log.warn({ effect: effectKey(id), refused }, 'the mail server has refused a recipient of a mail');
  }

  async #recipients(notice: Notice): Promise<Recipient[]> {
    const users = await selectMailUsers(this.#options.database, candidatesOf(notice));
    return recipientsOf(
      notice,
      users.map((user) => this.#judge(user, notice.resource)),
    );
  }

  #judge({ name, email, roles, disabled, mail, mail_own }: UserRow, resource: string): MailUser {
    const identity: Identity = { user: name, roles: roles.filter(isRole), projects: new Map() };
    const willing = mail && !disabled && this.#options.permissions.may(identity, resource, 'read');
    return { name, email, willing, own: mail_own };
  }

  async #sendTo({ address, reasons }: Recipient, notice: Notice, id: EffectId): Promise<void> {
    const key = effectKey(id);
    const epoch = await this.#readEpoch();
    const footer = `You get this as ${reasons.join(', ')}. To get none: PUT /me/notifications {"mail": false}`;
    await this.#options.mailer.send({
      to: address,
      subject: `${notice.reply ? 'Re: ' : ''}[Tidemark] ${notice.subject}`,
      text: `${bodyText(notice.text)}\n\n-- \n${footer}\n`,
      messageId: messageId(key, address, epoch),
      thread: threadId(notice.thread, epoch),
      headers: { 'X-Tidemark-Effect': key, 'X-Tidemark-Tid': String(id.tid) },
    });
  }

  #readEpoch(): Promise<string> {
    this.#epoch ??= readEpoch(this.#options.database).catch((error: unknown) => {
      this.#epoch = undefined;
      throw error;
    });
    return this.#epoch;
  }
}

/** Who has got the mail of an effect, as the database knows it. */
class Mailed {
  readonly #db: Queryable;
  readonly #effect: EffectId;
  #known: Set<string> | undefined;
  #looked = 0;

  constructor(db: Queryable, effect: EffectId) {
    this.#db = db;
    this.#effect = effect;
  }

  get size(): number {
    return this.#known?.size ?? 0;
  }

  async has(address: string): Promise<boolean> {
    if (this.#known === undefined || performance.now() - this.#looked > LOOK_AGAIN) {
      this.#known = new Set(await selectMailed(this.#db, this.#effect));
      this.#looked = performance.now();
    }
    return this.#known.has(addressKey(address));
  }

  async add(address: string, refused?: string): Promise<void> {
    await insertMailed(this.#db, this.#effect, addressKey(address), refused);
    this.#known?.add(addressKey(address));
  }
}

function isOfRecipient(error: unknown): boolean {
  return (error as { command?: string }).command === 'RCPT TO';
}
