import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';

/** A mail as it came over the line, and what a reader sees of it. */
export interface ReceivedMail {
  readonly to: readonly string[];
  readonly raw: string;
  /** In lower case; a header that stands twice has both values, with a line break between. */
  readonly headers: Readonly<Record<string, string>>;
  readonly subject: string;
  readonly text: string;
}

/** How a mail server answers; an Error with `responseCode` refuses. */
export interface MailSinkOptions {
  onRcptTo?(address: string): Promise<void> | void;
  /** Before it says that it has taken a mail. */
  onMail?(mail: ReceivedMail): Promise<void> | void;
}

/** A mail server that keeps what it takes. */
export interface MailSink extends MailSinkOptions {
  readonly url: string;
  readonly mails: ReceivedMail[];
  close(): Promise<void>;
}

/** A mail server on a free port. What it does with mails may be changed while it runs. */
export async function mailSink(options: MailSinkOptions = {}): Promise<MailSink> {
  const mails: ReceivedMail[] = [];
  const server = new SMTPServer({
    ...{ authOptional: true, disabledCommands: ['AUTH', 'STARTTLS'], closeTimeout: 100 },
    onRcptTo: ({ address }, _session, answer) => settle(async () => sink.onRcptTo?.(address), answer),
    onData: (stream, { envelope }, answer) =>
      settle(async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of stream) chunks.push(chunk as Buffer);
        const mail = read(
          Buffer.concat(chunks).toString('latin1'),
          envelope.rcptTo.map(({ address }) => address),
        );
        await sink.onMail?.(mail);
        mails.push(mail);
      }, answer),
  });
  server.on('error', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.server.address() as AddressInfo;
  const sink: MailSink = {
    ...{ url: `smtp://127.0.0.1:${port}`, mails, ...options },
    close: () => new Promise((resolve) => server.close(resolve)),
  };
  return sink;
}

/** An answer of a mail server. */
export function refusal(responseCode: number, message: string): Error {
  return Object.assign(new Error(message), { responseCode });
}

function settle(work: () => Promise<void>, answer: (error?: Error | null) => void): void {
  work().then(() => answer(), answer);
}

function read(raw: string, to: readonly string[]): ReceivedMail {
  const end = raw.indexOf('\r\n\r\n');
  const headers: Record<string, string> = {};
  for (const line of raw
    .slice(0, end)
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n')) {
    const [, name = '', value = ''] = /^([^:]+):\s*(.*)$/.exec(line) ?? [];
    const key = name.toLowerCase();
    headers[key] = headers[key] === undefined ? value : `${headers[key]}\n${value}`;
  }
  const text = decodeBody(raw.slice(end + 4), headers['content-transfer-encoding']);
  return { to, raw, headers, subject: decodeWords(headers['subject'] ?? ''), text };
}

function decodeWords(text: string): string {
  return text
    .replace(/\?=\s+=\?/g, '?==?')
    .replace(/=\?utf-8\?([bq])\?([^?]*)\?=/gi, (_, kind: string, word: string) =>
      kind.toLowerCase() === 'b' ? `\0${word}\0` : `\0q${word.replaceAll('_', ' ')}\0`,
    )
    .replace(/(?:\0[^\0]*\0)+/g, (words) =>
      Buffer.concat(
        words
          .split('\0')
          .filter((word) => word !== '')
          .map((word) => (word.startsWith('q') ? quoted(word.slice(1)) : Buffer.from(word, 'base64'))),
      ).toString(),
    );
}

function decodeBody(body: string, encoding = ''): string {
  const bytes =
    encoding.toLowerCase() === 'base64'
      ? Buffer.from(body, 'base64')
      : encoding.toLowerCase() === 'quoted-printable'
        ? quoted(body.replace(/=\r\n/g, ''))
        : Buffer.from(body, 'latin1');
  return bytes.toString().replaceAll('\r\n', '\n');
}

function quoted(text: string): Buffer {
  const plain = text.replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(plain, 'latin1');
}
