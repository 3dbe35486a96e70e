import { Logger } from '@nestjs/common';
import type { Log } from '#libs/dispatch';

/** The log of a kernel in an application that has named none: Nest's own. */
export function loggerLog(context: string): Log {
  const logger = new Logger(context);
  const facts = ({ err: _err, ...rest }: { err?: unknown }) =>
    Object.keys(rest).length > 0 ? ` ${JSON.stringify(rest)}` : '';
  const stack = ({ err }: { err?: unknown }) => (err instanceof Error ? [err.stack ?? err.message] : []);
  return {
    debug: (about, message) => logger.debug(message + facts(about)),
    info: (about, message) => logger.log(message + facts(about)),
    warn: (about, message) => logger.warn(message + facts(about), ...stack(about)),
    error: (about, message) => logger.error(message + facts(about), ...stack(about)),
  };
}
