import { type DynamicModule, Module } from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import { CqrsModule } from '@nestjs/cqrs';
import type { Cache } from '#libs/dispatch';
import { Kernel } from '#libs/kernel';
import { TidemarkModule } from '#libs/nest';
import { defaultWorkflow, type InterMapState, type PageNames, type Validating, type Workflow } from '#libs/resources';
import { AccessController } from './access/access.controller.ts';
import { accessHandlers } from './access/access.handlers.ts';
import { BodyGuard } from './body.guard.ts';
import { DataConsistencyController } from './data-consistency/data-consistency.controller.ts';
import { dataConsistencyHandlers } from './data-consistency/data-consistency.handlers.ts';
import { DocsController } from './docs/docs.controller.ts';
import { EffectsController } from './effects/effects.controller.ts';
import { effectsHandlers } from './effects/effects.handlers.ts';
import { ListenersController } from './effects/listeners.controller.ts';
import { listenersHandlers } from './effects/listeners.handlers.ts';
import { FindingsController } from './findings/findings.controller.ts';
import { findingsHandlers } from './findings/findings.handlers.ts';
import { HealthController } from './health.controller.ts';
import { IdempotencyInterceptor } from './idempotency/idempotency.interceptor.ts';
import { JournalController } from './journal/journal.controller.ts';
import { journalHandlers } from './journal/journal.handlers.ts';
import type { JournalStreams } from './journal/journal-streams.ts';
import { NotificationsController } from './mail/notifications.controller.ts';
import { notificationsHandlers } from './mail/notifications.handlers.ts';
import { MetricsController } from './metrics/metrics.controller.ts';
import type { ServerMetrics } from './metrics/server-metrics.ts';
import { OpenApiController } from './openapi/openapi.controller.ts';
import { PermissionGuard } from './permission.guard.ts';
import { recordControllers } from './production/production.routes.ts';
import { recordHandlers } from './production/record.handlers.ts';
import { TaskWorkController } from './production/task.controller.ts';
import { taskHandlers } from './production/task.handlers.ts';
import { QueryGuard } from './query.guard.ts';
import { StatusController } from './status/status.controller.ts';
import { statusHandlers } from './status/status.handlers.ts';
import { TicketController } from './ticket/ticket.controller.ts';
import { ticketHandlers } from './ticket/ticket.handlers.ts';
import { INTER_MAP, KERNEL, METRICS, OPEN_API, PAGE_NAMES, STREAMS, VALIDATING, WEBHOOKS, WORKFLOW } from './tokens.ts';
import { WaitForInterceptor } from './wait-for.interceptor.ts';
import { WebhookController } from './webhook/webhook.controller.ts';
import { webhookHandlers } from './webhook/webhook.handlers.ts';
import type { Webhooks } from './webhook/webhooks.ts';
import { WatchController } from './wiki/watch.controller.ts';
import { watchHandlers } from './wiki/watch.handlers.ts';
import { WikiController } from './wiki/wiki.controller.ts';
import { wikiHandlers } from './wiki/wiki.handlers.ts';
import { WikiTextController } from './wiki/wiki-text.controller.ts';
import { wikiTextHandlers } from './wiki/wiki-text.handlers.ts';

export interface ServerParts {
  readonly kernel: Kernel;
  readonly validating: Validating;
  readonly pageNames: Cache<PageNames>;
  readonly interMap: Cache<InterMapState>;
  readonly streams: JournalStreams;
  readonly metrics: ServerMetrics;
  readonly webhooks: Webhooks;
  /** Of tickets; Trac's when not given. */
  readonly workflow?: Workflow | undefined;
  /** The OpenAPI document as JSON. */
  readonly openApi: () => Promise<string>;
}

@Module({})
class ServerModule {}

/** The server as a Nest module, around parts that live as long as it. */
export function serverModule(parts: ServerParts): DynamicModule {
  const { kernel, pageNames, interMap, streams, metrics, webhooks, workflow = defaultWorkflow, openApi } = parts;
  return {
    module: ServerModule,
    imports: [CqrsModule.forRoot(), TidemarkModule.forRoot({ kernel })],
    controllers: [
      WikiController,
      WikiTextController,
      WatchController,
      TicketController,
      TaskWorkController,
      ...recordControllers,
      DataConsistencyController,
      JournalController,
      StatusController,
      EffectsController,
      ListenersController,
      FindingsController,
      AccessController,
      NotificationsController,
      WebhookController,
      HealthController,
      MetricsController,
      OpenApiController,
      DocsController,
    ],
    providers: [
      { provide: KERNEL, useExisting: Kernel },
      { provide: PAGE_NAMES, useValue: pageNames },
      { provide: INTER_MAP, useValue: interMap },
      { provide: STREAMS, useValue: streams },
      { provide: WORKFLOW, useValue: workflow },
      { provide: OPEN_API, useValue: openApi },
      { provide: APP_GUARD, useClass: PermissionGuard },
      { provide: METRICS, useValue: metrics },
      { provide: VALIDATING, useValue: parts.validating },
      { provide: WEBHOOKS, useValue: webhooks },
      { provide: APP_GUARD, useClass: QueryGuard },
      { provide: APP_GUARD, useClass: BodyGuard },
      { provide: APP_INTERCEPTOR, useClass: WaitForInterceptor },
      { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor },
      ...wikiHandlers,
      ...wikiTextHandlers,
      ...watchHandlers,
      ...notificationsHandlers,
      ...ticketHandlers,
      ...taskHandlers,
      ...recordHandlers,
      ...dataConsistencyHandlers,
      ...journalHandlers,
      ...statusHandlers,
      ...effectsHandlers,
      ...listenersHandlers,
      ...findingsHandlers,
      ...accessHandlers,
      ...webhookHandlers,
    ],
  };
}
