import { createHash, createHmac, randomBytes } from 'node:crypto';

const PREFIX = 'whsec_';
const BYTES = 32;

/** What is signed: an id that is the same at every attempt, when this attempt is made, and the body. */
export interface Signed {
  readonly id: string;
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly body: string;
}

/** A fresh secret as receivers are given it: `whsec_` and the Base64 of 256 random bits. */
export function webhookSecret(): string {
  return `${PREFIX}${randomBytes(BYTES).toString('base64')}`;
}

/** The header `webhook-signature` of Standard Webhooks: a signature by each secret, with blanks between. */
export function webhookSignature({ id, timestamp, body }: Signed, secrets: readonly string[]): string {
  const sign = (secret: string) => {
    const key = Buffer.from(secret.slice(PREFIX.length), 'base64');
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  };
  return secrets.map(sign).join(' ');
}

/** The key of an effect as a header carries it: as it is, or where it fits in none, its SHA-256. */
export function webhookId(effectKey: string): string {
  return /^[\x21-\x7e]{1,255}$/.test(effectKey) ? effectKey : createHash('sha256').update(effectKey).digest('hex');
}
