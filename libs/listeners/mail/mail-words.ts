import { createHash } from 'node:crypto';
import { isAddress } from '#libs/access';

const MAX_SUBJECT = 200;
const MAX_TEXT = 100_000;

/** The address that a text is, also between angle brackets; undefined for anything else, and for what no mail server could take. */
export function addressIn(text: string): string | undefined {
  const address = text.replace(/^<(.*)>$/s, '$1');
  return isAddress(address) ? address : undefined;
}

/** What two spellings of one address have in common. */
export function addressKey(address: string): string {
  return address.toLowerCase();
}

/** A text as one line of a header: whatever could end the line is a blank, and what is too long is cut. */
export function headerLine(text: string): string {
  const line = text
    .toWellFormed()
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .trim();
  const characters = [...line.slice(0, MAX_SUBJECT * 2 + 2)];
  return characters.length > MAX_SUBJECT ? `${characters.slice(0, MAX_SUBJECT - 1).join('')}…` : line;
}

/** A text as the body of a mail: what is too long is cut, and says so. */
export function bodyText(text: string): string {
  const whole = text.toWellFormed();
  if (whole.length <= MAX_TEXT) return whole;
  const kept = whole.slice(0, MAX_TEXT).toWellFormed();
  return `${kept}\n\n[… ${whole.length - MAX_TEXT} more characters: see the history]`;
}

/**
 * The Message-ID of an effect's mail to one address: the same at every attempt, in every process. The part after the @ names the journal, so
 * that two databases cannot give the same.
 */
export function messageId(effectKey: string, recipient: string, epoch: string): string {
  const hash = createHash('sha256')
    .update(`${effectKey} ${addressKey(recipient)}`)
    .digest('hex')
    .slice(0, 16);
  return `<${atom(effectKey)}.${hash}@${epoch}.tidemark>`;
}

/** What all mails of a thread refer to: a Message-ID that no mail bears. */
export function threadId(thread: string, epoch: string): string {
  return `<${atom(thread)}@${epoch}.tidemark>`;
}

function atom(text: string): string {
  const plain = text.replace(/[^A-Za-z0-9-]+/g, '.').replace(/^\.+|\.+$/g, '');
  return plain.length <= 100 ? plain : createHash('sha256').update(text).digest('hex').slice(0, 32);
}
