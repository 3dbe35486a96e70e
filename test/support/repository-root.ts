import { resolve } from 'node:path';

/** The checkout: tests run from dist/test/support. */
export function repositoryRoot(): string {
  return resolve(import.meta.dirname, '../../..');
}
