import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { didYouMean } from './suggest.ts';

/** The levels of pino, loudest last. */
export const logLevels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof logLevels)[number];

/** One setting: the environment variable, its sentence for the help, and how its text is read. */
export interface Setting<T> {
  readonly variable: string;
  readonly sentence: string;
  /** Used as if it had been given when it is not; none: the setting is undefined then. */
  readonly fallback?: string;
  /** Throws an Error whose message completes "PORT …". */
  read(text: string): T;
}

/** Every setting there is, by the name it has in Config. */
export const settings = {
  databaseUrl: setting('DATABASE_URL', 'the PostgreSQL to use instead of the embedded one', postgresUrl),
  databaseOwnerUrl: setting('DATABASE_OWNER_URL', 'the same database as its owner, for migrations', postgresUrl),
  directUrl: setting(
    'TIDEMARK_DIRECT_URL',
    'the same database past the pooler (PgBouncer in transaction mode) that DATABASE_URL goes through',
    postgresUrl,
  ),
  host: setting('HOST', 'the address to listen on', hostName, '127.0.0.1'),
  port: setting('PORT', 'the port to listen on, 0 for any free one', wholeNumber(0, 65_535), '3000'),
  logLevel: setting('LOG_LEVEL', `how much is logged: ${logLevels.join(', ')}`, logLevel, 'info'),
  smtpUrl: setting('SMTP_URL', 'the mail server, smtp://user:password@host:587; without one no mail is sent', smtpUrl),
  dataDir: setting('TIDEMARK_DATA_DIR', 'the folder of the embedded PostgreSQL', folder, '.tidemark'),
  adminToken: setting('TIDEMARK_ADMIN_TOKEN', 'a token that is accepted as admin on any database', bearerToken),
  plugins: setting(
    'TIDEMARK_PLUGINS',
    'plugins to load, with commas between: paths (./plugin.ts), or names of modules',
    list((text) => text),
    '',
  ),
  poolSize: setting(
    'TIDEMARK_POOL_SIZE',
    'how many database connections a process may hold',
    wholeNumber(2, 1000),
    '10',
  ),
  effectKeepDays: setting(
    'TIDEMARK_EFFECT_KEEP_DAYS',
    'for how many days effects that are done stay in the ledger',
    wholeNumber(1, 3650),
    '7',
  ),
  propagationKeepDays: setting(
    'TIDEMARK_PROPAGATION_KEEP_DAYS',
    'for how many days it is kept what came of changes of statuses',
    wholeNumber(1, 3650),
    '90',
  ),
  checkRowsPerSecond: setting(
    'TIDEMARK_CHECK_ROWS_PER_SECOND',
    'how many rows a second all processes together check by themselves, 0 for none',
    wholeNumber(0, 1_000_000),
    '1000',
  ),
  mailFrom: setting(
    'TIDEMARK_MAIL_FROM',
    'the sender of mail, an address or Name <address>; tidemark@ this machine unless given',
    mailAddress,
  ),
  trustedProxies: setting(
    'TIDEMARK_TRUSTED_PROXIES',
    'addresses or networks, with commas between, whose X-Forwarded-For is believed',
    list(networkAddress),
    '',
  ),
  webhookAllow: setting(
    'TIDEMARK_WEBHOOK_ALLOW',
    'names of hosts, addresses and networks outside the public internet that webhooks may call, with commas between',
    list(hostOrNetwork),
    '',
  ),
  testImage: setting(
    'TIDEMARK_TEST_IMAGE',
    'the image the tests start in Docker',
    (text) => text,
    'postgres:18-alpine',
  ),
  testLong: setting('TIDEMARK_TEST_LONG', '1: the long forms of the guarantee tests', (text) => text === '1', ''),
} as const;

function setting<T>(variable: string, sentence: string, read: (text: string) => T): Setting<T | undefined>;
function setting<T>(variable: string, sentence: string, read: (text: string) => T, fallback: string): Setting<T>;
function setting<T>(variable: string, sentence: string, read: (text: string) => T, fallback?: string) {
  return { variable, sentence, read, ...(fallback === undefined ? {} : { fallback }) };
}

// A value that may hold a password is never repeated in a message.
function postgresUrl(text: string): string {
  // the host may be left out: postgres://joe@/tidemark?host=/run/postgresql
  if (!/^postgres(ql)?:/.test(text) || !URL.canParse(text.replace('@/', '@localhost/'))) {
    throw new Error('is not a PostgreSQL URL: it looks like postgres://user:password@host:5432/database.');
  }
  return text;
}

function smtpUrl(text: string): string {
  if (!/^smtps?:/.test(text) || !URL.canParse(text) || new URL(text).hostname === '') {
    throw new Error('is not a mail server URL: it looks like smtp://user:password@host:587.');
  }
  return text;
}

function hostName(text: string): string {
  if (!/^[\w.:%-]+$/.test(text)) throw new Error(`is "${text}", which is neither an address nor a host name.`);
  return text;
}

function wholeNumber(lowest: number, highest: number): (text: string) => number {
  return (text) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(number >= lowest && number <= highest)) {
      throw new Error(`is "${text}", which is not a whole number from ${lowest} to ${highest}.`);
    }
    return number;
  };
}

function logLevel(text: string): LogLevel {
  const level = logLevels.find((known) => known === text);
  if (level === undefined) {
    throw new Error(`is "${text}", which is none of ${logLevels.join(', ')}.${didYouMean(text, logLevels)}`);
  }
  return level;
}

function folder(text: string): string {
  if (text.includes('\0')) throw new Error('holds a NUL character, which no path can.');
  return resolve(text);
}

function bearerToken(text: string): string {
  if (!/^[\x21-\x7e]+$/.test(text)) {
    throw new Error('holds a space or a character outside ASCII, which no Authorization header can carry.');
  }
  return text;
}

function mailAddress(text: string): string {
  if (!/^[^\r\n]*[^@\s]@[^@\s]+$/.test(text)) throw new Error(`is "${text}", which is not a mail address.`);
  return text;
}

function list<T>(item: (text: string) => T): (text: string) => readonly T[] {
  return (text) => {
    const parts = text.split(',').map((part) => part.trim());
    return Object.freeze(parts.filter((part) => part !== '').map(item));
  };
}

function hostOrNetwork(text: string): string {
  if (isNetwork(text) || HOST.test(text)) return text;
  throw new Error(`holds "${text}", which is neither a host name, nor an address, nor a network such as 10.0.0.0/8.`);
}
// with a letter somewhere: an address that is misspelled is no name
const HOST = /^(?=.*[a-z])[a-z\d]([a-z\d-]*[a-z\d])?(\.[a-z\d]([a-z\d-]*[a-z\d])?)*$/i;

const namedNetworks = ['loopback', 'linklocal', 'uniquelocal'];

function networkAddress(text: string): string {
  if (!namedNetworks.includes(text) && !isNetwork(text)) {
    throw new Error(
      `holds "${text}", which is neither an address, nor a network such as 10.0.0.0/8, nor one of ${namedNetworks.join(', ')}.`,
    );
  }
  return text;
}

function isNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = isIP(address);
  const longest = family === 4 ? 32 : 128;
  const fits = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= longest);
  return family !== 0 && fits && rest.length === 0;
}
