import type { LoggerService } from '@nestjs/common';
import type { Log } from '#libs/dispatch';

/** Nest's own messages, in the log of the program; what it says while all goes well is left out. */
export class NestLog implements LoggerService {
  constructor(private readonly target: Log) {}

  log(): void {}

  warn(message: unknown): void {
    this.target.warn({ by: 'nest' }, String(message));
  }

  error(message: unknown): void {
    this.target.error({ by: 'nest', ...(message instanceof Error ? { err: message } : {}) }, String(message));
  }
}
