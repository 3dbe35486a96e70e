import { setTimeout } from 'node:timers/promises';
import { Controller, Get, Inject } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { z } from 'zod';
import { KernelError } from '#libs/database';
import type { Cache } from '#libs/dispatch';
import type { Kernel } from '#libs/kernel';
import type { PageNames } from '#libs/resources';
import { Describe } from './openapi/describe.ts';
import { KERNEL, PAGE_NAMES } from './tokens.ts';

const PATIENCE = 2_000;

const Live = z.object({ status: z.literal('live') }).meta({ id: 'Live', examples: [{ status: 'live' }] });
const Ready = z.object({ status: z.literal('ready') }).meta({ id: 'Ready', examples: [{ status: 'ready' }] });

@Controller('health')
export class HealthController {
  constructor(
    @Inject(KERNEL) private readonly kernel: Kernel,
    @Inject(PAGE_NAMES) private readonly names: Cache<PageNames>,
  ) {}

  /** The process runs. */
  @Get('live')
  @RouteConfig({ public: true })
  @Describe('isLive', { summary: 'Whether the process runs', answers: { 200: Live } })
  live() {
    return { status: 'live' };
  }

  /** The process can serve: the database answers and the caches are loaded. */
  @Get('ready')
  @RouteConfig({ public: true })
  @Describe('isReady', {
    summary: 'Whether it can serve: the database answers, the caches are loaded',
    answers: { 200: Ready },
  })
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
