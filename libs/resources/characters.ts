import { KernelError } from '#libs/database';

/** Throws `invalid` for NUL and for half a surrogate pair, which no text in PostgreSQL can hold. */
export function checkCharacters(text: string, path: string): void {
  const reason = characterProblem(text);
  if (reason === undefined) return;
  const message = `${path} ${reason}`;
  throw new KernelError('invalid', message, { errors: [{ path, message }] });
}

/** Why a text cannot be stored: the end of a sentence that begins with its name. */
export function characterProblem(text: string): string | undefined {
  if (text.includes('\0')) return 'must not hold a NUL character';
  if (!text.isWellFormed()) return 'must be well-formed Unicode, without half a surrogate pair';
  return undefined;
}

/** Why a text is too long, by its characters (code points): the end of a sentence that begins with its name. */
export function lengthProblem(text: string, limit: number): string | undefined {
  return text.length > limit && [...text].length > limit ? `must not exceed ${limit} characters` : undefined;
}

/** Whether nothing in a text ends a line, be it a separator of Unicode. */
export function isSingleLine(text: string): boolean {
  return !/[\n\r\u2028\u2029]/.test(text);
}
