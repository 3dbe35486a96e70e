import { setTimeout } from 'node:timers/promises';
import { Controller, Get, Inject } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { KernelError } from '#libs/database';
import type { Cache } from '#libs/dispatch';
import type { Kernel } from '#libs/kernel';
import type { PageNames } from '#libs/resources';
import { KERNEL, PAGE_NAMES } from './tokens.ts';

const PATIENCE = 2_000;

@Controller('health')
export class HealthController {
  constructor(
    @Inject(KERNEL) private readonly kernel: Kernel,
    @Inject(PAGE_NAMES) private readonly names: Cache<PageNames>,
  ) {}

  /** The process runs. */
  @Get('live')
  @RouteConfig({ public: true })
  live() {
    return { status: 'live' };
  }

  /** The process can serve: the database answers and the caches are loaded. */
  @Get('ready')
  @RouteConfig({ public: true })
  async ready() {
    await Promise.race([this.kernel.database.query('SELECT 1'), tooLate()]);
    this.names.state;
    return { status: 'ready' };
  }
}

async function tooLate(): Promise<never> {
  await setTimeout(PATIENCE, undefined, { ref: false });
  throw new KernelError('unavailable', 'the database does not answer');
}
