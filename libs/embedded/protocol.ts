import { join } from 'node:path';

/** Why no database can run here, in a sentence. The supervisor knows no more of the other libraries than it needs: it stays small. */
export class EmbeddedError extends Error {}

/** What the supervisor says of its start, as one line of JSON on descriptor 3. */
export interface Outcome {
  readonly ready?: true;
  /** Another supervisor runs PostgreSQL, or starts or stops it at this moment. */
  readonly taken?: true;
  readonly error?: string;
}

/** Where the supervisor listens. Lines to it: `user <pid>`, `stop`, `stop force`; from it: `ready`, `used <pids>`, `stopped`. */
export function socketPath(place: string): string {
  return join(place, 'supervisor.sock');
}
