import { isNativeError } from 'node:util/types';

/** Why something was refused or failed: a closed list, translated once per edge (HTTP status, exit status). */
export type ErrorCode =
  | 'malformed'
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'stale'
  | 'too_large'
  | 'not_caught_up'
  | 'unavailable'
  | 'configuration';

export interface ErrorDetails {
  readonly errors?: readonly { path: string; message: string }[];
  readonly version?: string;
  readonly cause?: unknown;
}

/** The one error that libraries throw on purpose. Its message is a sentence for whoever made the request, with the values that matter. */
export class KernelError extends Error {
  readonly code: ErrorCode;
  readonly errors: readonly { path: string; message: string }[];
  /** Of `stale`: the tag of the version that stands instead, where there is one. */
  readonly version: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'KernelError';
    this.code = code;
    this.errors = details.errors ?? [];
    this.version = details.version;
  }
}

/** What pg, the sockets and this program's SQL functions report. */
export interface DatabaseError extends Error {
  code?: string;
  constraint?: string;
  detail?: string;
  table?: string;
  column?: string;
}

/** The KernelError that an error of pg stands for; anything else comes back as it is. A lost race is a conflict, never "internal". */
export function translate(error: unknown): unknown {
  if (!isNativeError(error) || error instanceof KernelError) return error;
  const { code = '', constraint } = error as DatabaseError;
  const as = (kind: ErrorCode, message: string) => new KernelError(kind, message, { cause: error });
  if (isUnreachable(error)) return as('unavailable', 'the database is not reachable at the moment');
  switch (code) {
    case '23505':
      return as('conflict', `something else already has that ${keyOf(error as DatabaseError)} (${constraint})`);
    case '23503':
      return as('conflict', `another row depends on it, or the row it refers to does not exist (${constraint})`);
    case '23502':
      return as('invalid', `${(error as DatabaseError).column} must have a value`);
    case '23514':
      return as('invalid', `the value breaks the rule ${constraint}`);
    case '54000':
      return as('invalid', 'a value is too long to be stored or indexed');
    case '40001':
    case '40P01':
    case '55P03':
      return as('conflict', 'another change came in between: try again');
    case '57014':
      return as('unavailable', 'the database took too long over a statement');
    case 'TM001':
      return as('not_found', `${error.message} does not exist`);
    case '42501':
      return as('forbidden', 'the database does not allow this role to do that');
    default:
      return code.startsWith('22') ? as('invalid', 'a value is not one that the database can store') : error;
  }
}

/** The columns of a key that is taken, in any language of the server: `Key (project_id, name)=(7, SH1) already exists.` */
function keyOf({ detail = '' }: DatabaseError): string {
  return /\((.*?)\)=\(/.exec(detail)?.[1] ?? 'value';
}

/** Whether the connection failed rather than the statement. */
export function isUnreachable(error: unknown): boolean {
  if (!isNativeError(error)) return false;
  const { code = '' } = error as DatabaseError;
  return (
    UNREACHABLE.has(code) ||
    // the server's unix socket, and not some file
    (code === 'ENOENT' && (error as NodeJS.ErrnoException).syscall === 'connect') ||
    code.startsWith('08') ||
    /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Query read timeout)/.test(
      error.message,
    )
  );
}

/** Sockets that fail, and a server that is stopping, starting, out of connections or out of disk. */
const UNREACHABLE = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOTFOUND', 'EAI_AGAIN'],
  ...['57P01', '57P02', '57P03', '53300', '53100', '53200', '58030', '25P03', '25P04'],
]);
