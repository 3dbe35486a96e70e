import { finding } from '#libs/integrity';
import type { Resource } from '#libs/journal';
import type { Projection } from '#libs/projection';
import { entityTaskStatusProjection } from './production/entity-task-status.projection.ts';
import { projectProgressProjection } from './production/project-progress.projection.ts';
import { consistencyRepair, projectRules } from './production/project-rules.ts';
import { productionResources } from './production/records.ts';
import { taskCycleTimeProjection } from './production/task-cycle-time.projection.ts';
import { ticket, ticketComment } from './ticket/ticket.ts';
import { webhook } from './webhook/webhook.ts';
import { wiki } from './wiki/wiki.ts';

export type { CalledAs, ListeningOptions, OldValues, Told } from './listening.ts';
export { type EntityScope, keyOf as entityKeyOf, type Moment } from './production/consistency.queries.ts';
export * from './production/consistency.ts';
export * from './production/consistency-health.ts';
export {
  findInconsistent,
  isInconsistent,
  planRepair,
  type Repaired,
  repairEntities,
} from './production/consistency-repair.ts';
export * from './production/consistency-report.ts';
export * from './production/entity-list.queries.ts';
export * from './production/entity-task-status.projection.ts';
export type { ConsistencyRule, JudgedEntity, JudgedTask } from './production/judge-entity.ts';
export * from './production/project-progress.projection.ts';
export {
  consistencyRepair,
  getRules,
  type KeptRules,
  type ProjectRule,
  projectRules,
  setRules,
} from './production/project-rules.ts';
export { listPropagations, type Propagation, type PropagationListOptions } from './production/propagation.queries.ts';
export { PROPAGATION, propagateTask, propagationListener, prunePropagations } from './production/propagation.ts';
export * from './production/record.commands.ts';
export * from './production/record.queries.ts';
export * from './production/record-kind.ts';
export { recordKinds, taskComment } from './production/records.ts';
export * from './production/reduce-task.ts';
export * from './production/roll-up.ts';
export * from './production/task.commands.ts';
export * from './production/task.queries.ts';
export * from './production/task-bulk.commands.ts';
export * from './production/task-comment.commands.ts';
export { taskCycleTimeProjection } from './production/task-cycle-time.projection.ts';
export type { TaskPatch } from './production/task-edit.ts';
export * from './production/validate-entities.ts';
export { type FieldError, refuse } from './refuse.ts';
export { parseRowId } from './row-id.ts';
export { customNameProblem } from './ticket/custom.ts';
export * from './ticket/ticket.commands.ts';
export { getTicket, getTicketActions, getTicketAsOf } from './ticket/ticket.queries.ts';
export {
  TEXT_FIELDS,
  type TextField,
  type Ticket,
  type TicketCommentRow,
  type TicketRow,
  ticket,
  ticketComment,
} from './ticket/ticket.ts';
export { type BatchChanged, batchTickets, MAX_BATCH, type TicketBatch } from './ticket/ticket-batch.commands.ts';
export type { TicketOptions, TicketPatch } from './ticket/ticket-edit.ts';
export { FIELD_RULES, type TicketFields } from './ticket/ticket-fields.ts';
export { getTicketHistory, type TicketChange } from './ticket/ticket-history.queries.ts';
export * from './ticket/ticket-list.queries.ts';
export { type TicketListener, type ToldComment, ticketListener } from './ticket/ticket-listener.ts';
export * from './ticket/ticket-notice.ts';
export type { OfferedAction, Setting } from './ticket/transition.ts';
export {
  defaultWorkflow,
  defineWorkflow,
  type Operation,
  type Workflow,
  type WorkflowAction,
} from './ticket/workflow.ts';
export {
  createWebhook,
  deleteWebhook,
  patchWebhook,
  rotateWebhook,
  type WebhookChanged,
  type WebhookSigned,
} from './webhook/webhook.commands.ts';
export {
  findWebhookTarget,
  getWebhook,
  getWebhookHistory,
  listWebhooks,
  placeWebhooks,
} from './webhook/webhook.queries.ts';
export { type Webhook, type WebhookFilter, webhook, webhookListenerName } from './webhook/webhook.ts';
export { type WebhookChoice, type WebhookFilters, webhookFilters } from './webhook/webhook-filters.ts';
export type { WebhookInput, WebhookRules } from './webhook/webhook-input.ts';
export { type InterMapState, interMap } from './wiki/inter-map-cache.ts';
export * from './wiki/page-diff.ts';
export * from './wiki/page-links.ts';
export { PageNames, pageNames } from './wiki/page-names.ts';
export * from './wiki/page-notice.ts';
export { selectWatchers } from './wiki/page-watch.queries.ts';
export { listWatchedPages, type PageWatch, unwatchPage, watchPage } from './wiki/page-watch.ts';
export * from './wiki/wiki.commands.ts';
export * from './wiki/wiki.queries.ts';
export * from './wiki/wiki.ts';
export { type WikiListener, wikiListener } from './wiki/wiki-listener.ts';

/** Every resource of the domain, and what checks find: what an app hands to its kernel. */
export const resources: Resource[] = [
  wiki,
  ticket,
  ticketComment,
  webhook,
  finding,
  ...productionResources,
  projectRules,
  consistencyRepair,
];

/** Every projection of the domain: what an app hands to its kernel, too. */
export const projections: Projection[] = [
  entityTaskStatusProjection,
  projectProgressProjection,
  taskCycleTimeProjection,
];
