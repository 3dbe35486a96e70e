import type { Log } from '#libs/dispatch';

/** The log of a program that has named none: warnings and errors become warnings of the process, the rest is dropped. */
export const processWarnings: Log = {
  debug() {},
  info() {},
  warn: emit,
  error: emit,
};

function emit(about: object, message: string): void {
  const { err, ...rest } = about as { err?: unknown };
  const facts = Object.keys(rest).length > 0 ? [JSON.stringify(rest)] : [];
  const cause = err instanceof Error ? [err.stack ?? err.message] : [];
  process.emitWarning(message, { type: 'TidemarkWarning', detail: [...facts, ...cause].join('\n') });
}
