import { KernelError, translate } from '#libs/database';

/** An error of a plugin at the start, which names it. */
export function blaming(name: string, reason: string, cause?: unknown): KernelError {
  const translated = translate(cause);
  const code = translated instanceof KernelError && translated.code === 'unavailable' ? 'unavailable' : 'configuration';
  return new KernelError(code, `plugin ${name}: ${reason}`, { cause });
}
