import type { Transporter } from 'nodemailer';
import { headerLine } from './mail-words.ts';

const CONNECTIONS = 5;
const CONNECT_WITHIN = 10_000;
const ANSWER_WITHIN = 30_000;
const IDLE = 10_000;

export interface MailerOptions {
  /** smtp://user:password@host:587 */
  readonly url: string;
  /** The sender: an address, or Name <address>. */
  readonly from: string;
}

/** A mail to one address. */
export interface Mail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly messageId: string;
  /** A Message-ID that all mails of its thread refer to. */
  readonly thread: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The mail server has refused a mail, or its recipient, for good. Any other error may be gone at the next attempt. */
export class MailRefused extends Error {}

/** Hands mails to a mail server, over a few connections that are kept for as long as they are used. */
export class Mailer {
  readonly #options: MailerOptions;
  #transport: Promise<Transporter> | undefined;

  constructor(options: MailerOptions) {
    this.#options = options;
  }

  /** Returns once the server has taken the mail. Throws MailRefused for one that it will never take. */
  async send({ to, subject, text, messageId, thread, headers }: Mail): Promise<void> {
    const transport = await this.#connected();
    try {
      await transport.sendMail({
        from: this.#options.from,
        to: { name: '', address: to },
        subject: headerLine(subject),
        text,
        messageId,
        ...{ inReplyTo: thread, references: thread },
        headers: { 'Auto-Submitted': 'auto-generated', Precedence: 'bulk', ...headers },
        ...{ disableFileAccess: true, disableUrlAccess: true },
      });
    } catch (error) {
      throw isRefusal(error) ? new MailRefused((error as Error).message, { cause: error }) : error;
    }
  }

  /** Closes connections that nobody uses any more. */
  async close(): Promise<void> {
    (await this.#transport)?.close();
  }

  /** Loaded with the first mail: a server that has none to send need not wait for it. */
  #connected(): Promise<Transporter> {
    this.#transport ??= import('nodemailer').then(({ createTransport }) =>
      createTransport({
        ...{ url: this.#options.url, pool: true, maxConnections: CONNECTIONS, idleTimeout: IDLE },
        // an attempt is tried again by the ledger: here it would hide that it failed
        maxRequeues: 0,
        ...{ connectionTimeout: CONNECT_WITHIN, greetingTimeout: CONNECT_WITHIN, dnsTimeout: CONNECT_WITHIN },
        socketTimeout: ANSWER_WITHIN,
      }),
    );
    return this.#transport;
  }
}

/** What the server says of the session or of the sender concerns every mail: that can be mended, and the mail sent then. */
function isRefusal(error: unknown): boolean {
  const { permanent, command } = error as { permanent?: boolean; command?: string };
  return permanent === true && (command === 'RCPT TO' || command === 'DATA');
}
