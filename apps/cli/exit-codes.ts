import type { ErrorCode } from '#libs/database';

/** What the command line says to the shell. 1 means findings or differences, never a failure. */
export const EXIT = {
  done: 0,
  findings: 1,
  usage: 2,
  unreachable: 3,
  refused: 4,
  internal: 70,
  interrupted: 130,
} as const;

export const exitCodes: Readonly<Record<ErrorCode, number>> = {
  malformed: EXIT.usage,
  invalid: EXIT.usage,
  not_found: EXIT.usage,
  too_large: EXIT.usage,
  configuration: EXIT.usage,
  unavailable: EXIT.unreachable,
  not_caught_up: EXIT.unreachable,
  unauthenticated: EXIT.refused,
  forbidden: EXIT.refused,
  conflict: EXIT.refused,
  stale: EXIT.refused,
};
