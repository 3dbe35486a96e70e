import { type DynamicModule, Module } from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { CqrsModule } from '@nestjs/cqrs';
import type { Cache } from '#libs/dispatch';
import type { Kernel } from '#libs/kernel';
import type { PageNames } from '#libs/resources';
import { HealthController } from './health.controller.ts';
import { JournalController } from './journal/journal.controller.ts';
import { journalHandlers } from './journal/journal.handlers.ts';
import type { JournalStreams } from './journal/journal-streams.ts';
import { StatusController } from './status/status.controller.ts';
import { statusHandlers } from './status/status.handlers.ts';
import { KERNEL, PAGE_NAMES, STREAMS } from './tokens.ts';
import { WaitForInterceptor } from './wait-for.interceptor.ts';
import { WikiController } from './wiki/wiki.controller.ts';
import { wikiHandlers } from './wiki/wiki.handlers.ts';

export interface ServerParts {
  readonly kernel: Kernel;
  readonly pageNames: Cache<PageNames>;
  readonly streams: JournalStreams;
}

@Module({})
class ServerModule {}

/** The server as a Nest module, around parts that live as long as it. */
export function serverModule({ kernel, pageNames, streams }: ServerParts): DynamicModule {
  return {
    module: ServerModule,
    imports: [CqrsModule.forRoot()],
    controllers: [WikiController, JournalController, StatusController, HealthController],
    providers: [
      { provide: KERNEL, useValue: kernel },
      { provide: PAGE_NAMES, useValue: pageNames },
      { provide: STREAMS, useValue: streams },
      { provide: APP_INTERCEPTOR, useClass: WaitForInterceptor },
      ...wikiHandlers,
      ...journalHandlers,
      ...statusHandlers,
    ],
  };
}
