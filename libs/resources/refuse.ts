import { KernelError } from '#libs/database';

/** What is wrong with one field of what a caller gives. */
export interface FieldError {
  readonly path: string;
  readonly message: string;
}

/** Throws `invalid` with these errors, or another code, if there are any. */
export function refuse(errors: readonly FieldError[], code: 'invalid' | 'forbidden' = 'invalid'): void {
  if (errors.length > 0) throw new KernelError(code, errors.map(({ message }) => message).join('; '), { errors });
}
