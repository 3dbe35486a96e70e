import { Body, Controller, Get, HttpCode, Inject, Param, Post, Put, Query, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import { KernelError } from '#libs/database';
import { versionTag } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import {
  type EntityKey,
  idOf,
  judgeHealth,
  type KeptRules,
  noRecord,
  parseId,
  recordKinds,
  reportConsistency,
  type Validated,
  type Validating,
} from '#libs/resources';
import { type Caller, CurrentCaller } from '../caller.ts';
import { CurrentMutation, type Mutation, tell } from '../mutation.ts';
import { Describe } from '../openapi/describe.ts';
import { decodeNumberCursor, encodeNameCursor, pageOf } from '../paging.ts';
import { Allow } from '../permission.guard.ts';
import { GetRecord } from '../production/record.handlers.ts';
import { KERNEL, VALIDATING } from '../tokens.ts';
import { paging, query, text } from '../validation.ts';
import {
  BulkValidationAnswer,
  EntitiesBody,
  EntityIdParam,
  EntityTypeParam,
  HealthAnswer,
  PropagationAnswer,
  PropagationList,
  RepairAnswer,
  RepairBody,
  ReportAnswer,
  RulesAnswer,
  RulesBody,
  TaskIdParam,
  ValidationAnswer,
} from './data-consistency.answers.ts';
import {
  GetRules,
  ListPropagations,
  PropagateTask,
  ReadConsistencyHealth,
  RepairConsistency,
  SetRules,
  ValidateEntities,
} from './data-consistency.handlers.ts';
import { reportStream } from './report-stream.ts';

const ofProject = text().meta({ description: 'The id of a project', examples: ['1'] });
const ScopeQuery = query({ project_id: ofProject.optional().meta({ description: 'Only of this project' }) });
const ProjectQuery = query({ project_id: ofProject });
const PropagationsQuery = query({
  ...paging,
  project_id: text().optional().meta({ description: 'Only of this project' }),
  task_id: text().optional().meta({ description: 'Only of this task' }),
});

type Scope = z.infer<typeof ScopeQuery>;

/** Whether what is shown of shots and assets is what their tasks say: validated, watched over, and mended. */
@Controller('data-consistency')
export class DataConsistencyController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    @Inject(KERNEL) private readonly kernel: Kernel,
    @Inject(VALIDATING) private readonly validating: Validating,
  ) {}

  @Get('validate/:entity_type/:entity_id')
  @Allow('consistency', 'read')
  @Describe('validateEntity', {
    summary: 'Validate a shot or an asset',
    description:
      'Compares what the projection shows of it with its tasks, their journal, the rules of its project and those of plugins.',
    params: { entity_type: EntityTypeParam, entity_id: EntityIdParam },
    ...{ answers: { 200: ValidationAnswer }, errors: [404] },
  })
  async validate(
    @Param('entity_type') entity_type: string,
    @Param('entity_id') id: string,
    @CurrentCaller() caller: Caller,
  ) {
    if (entity_type !== 'shot' && entity_type !== 'asset') {
      throw new KernelError('malformed', `the entity type must be shot or asset, not ${entity_type.slice(0, 100)}`);
    }
    const kind = recordKinds[entity_type];
    const entity_id = idOf(kind, id);
    const [found] = await this.queries.execute(new ValidateEntities([{ entity_type, entity_id }]));
    if (!found || found.project_id === null) throw noRecord(kind, id);
    caller.check('consistency', 'read', found.project_id);
    return found.validation;
  }

  @Post('validate/bulk')
  @HttpCode(200)
  @Allow('consistency', 'read')
  @Describe('validateEntities', {
    summary: 'Validate many shots and assets',
    description:
      'The results are in the order asked. One that there is not, or of another project, has an error instead.',
    answers: { 200: BulkValidationAnswer },
  })
  async validateMany(
    @Body({ schema: EntitiesBody }) { entities }: z.infer<typeof EntitiesBody>,
    @CurrentCaller() caller: Caller,
  ) {
    const keys = entities.map((entity) => knownKey(entity));
    const found = await this.queries.execute(new ValidateEntities(keys.flatMap((key) => key ?? [])));
    const queue = found[Symbol.iterator]();
    const results = keys.map((key, n) => {
      const { entity_type, entity_id } = entities[n] as (typeof entities)[number];
      const one = key && queue.next().value;
      const refused = (code: string, message: string) => ({
        ...{ entity_type, entity_id: String(entity_id), error: { code, message } },
      });
      if (!one || one.project_id === null) {
        return refused('not_found', noRecord(recordKinds[entity_type], String(entity_id)).message);
      }
      if (caller.may('consistency', 'read', one.project_id)) return one.validation;
      return refused('forbidden', `this needs the permission consistency:read in the project ${one.project_id}`);
    });
    return { results };
  }

  @Get('report')
  @Allow('consistency', 'read')
  @Describe('reportConsistency', {
    summary: 'Validate everything',
    description:
      'Of one project, or of all that the caller coordinates. It is sent as it is made; the summary comes last.',
    ...{ answers: { 200: ReportAnswer }, errors: [404] },
  })
  async report(@Query({ schema: ScopeQuery }) asked: Scope, @CurrentCaller() caller: Caller) {
    const scope = await this.#scope(asked.project_id, caller, 'read');
    return reportStream(scope.project_id ?? null, reportConsistency(this.validating, scope));
  }

  @Get('health')
  @Allow('consistency', 'read')
  @Describe('readConsistencyHealth', {
    summary: 'Tell how consistent things are, by counters',
    description:
      'Validates nothing: it says what validations have found, and what waits. Unhealthy is answered with 503.',
    ...{ answers: { 200: HealthAnswer, 503: HealthAnswer }, errors: [404] },
  })
  async health(
    @Query({ schema: ScopeQuery }) asked: Scope,
    @CurrentCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const scope = await this.#scope(asked.project_id, caller, 'read');
    const counters = await this.queries.execute(new ReadConsistencyHealth(scope));
    const status = judgeHealth(counters);
    reply.status(status === 'unhealthy' ? 503 : 200);
    return { status, project_id: scope.project_id ?? null, ...counters };
  }

  @Get('propagations')
  @Allow('consistency', 'read')
  @Describe('listPropagations', {
    summary: 'List what came of changes of statuses, newest first',
    ...{ answers: { 200: PropagationList }, errors: [404] },
  })
  async propagations(
    @Query({ schema: PropagationsQuery }) { limit, cursor, ...asked }: z.infer<typeof PropagationsQuery>,
    @CurrentCaller() caller: Caller,
  ) {
    const { epoch } = this.kernel;
    const scope = await this.#scope(asked.project_id, caller, 'read');
    const before = cursor === undefined ? undefined : decodeNumberCursor(epoch, cursor, 18);
    const task_id = asked.task_id === undefined ? undefined : idOf(recordKinds.task, asked.task_id);
    const found = await this.queries.execute(new ListPropagations({ ...scope, task_id, before, limit: limit + 1 }));
    const page = pageOf(found, limit, ({ id }) => encodeNameCursor(epoch, id));
    return { ...page, items: page.items.map(({ id: _, ...propagation }) => propagation) };
  }

  @Post('propagate/:task_id')
  @HttpCode(200)
  @Allow('consistency', 'read')
  @Describe('propagateTask', {
    summary: 'Validate the entity of a task as if its status had just been changed',
    ...{ params: { task_id: TaskIdParam }, answers: { 200: PropagationAnswer }, errors: [404] },
  })
  async propagate(
    @CurrentMutation() mutation: Mutation,
    @Param('task_id') taskId: string,
    @CurrentCaller() caller: Caller,
  ) {
    const task = await this.queries.execute(
      new GetRecord(recordKinds.task, taskId, undefined, mutation.writer.database),
    );
    caller.check('consistency', 'read', String(task['project_id']));
    return this.commands.execute(new PropagateTask(mutation, task.id));
  }

  @Post('repair')
  @HttpCode(200)
  @Allow('consistency', 'repair')
  @Describe('repairConsistency', {
    summary: "Compute the projection's rows of entities anew from their tasks",
    description: 'A dry run, unless it is told otherwise. Only rows that differ are touched, and never a task.',
    ...{ answers: { 200: RepairAnswer }, errors: [404] },
  })
  async repair(
    @CurrentMutation() mutation: Mutation,
    @Body({ schema: RepairBody }) { entities, project_id, dry_run, reason }: z.infer<typeof RepairBody>,
    @CurrentCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const project = project_id === undefined ? undefined : String(project_id);
    const scope = await this.#scope(project, caller, 'repair');
    const found = entities && (await this.#repairable(entities, caller));
    const actor = reason === undefined ? mutation.actor : { ...mutation.actor, comment: reason };
    const command = new RepairConsistency({ ...mutation, actor }, scope, found, dry_run);
    const repaired = await this.commands.execute(command);
    tell(reply, { tid: repaired.tid });
    return { dry_run, ...repaired };
  }

  @Get('rules')
  @Allow('project_rules', 'read')
  @Describe('getProjectRules', {
    summary: 'Read the rules of a project',
    ...{ versioned: true, answers: { 200: RulesAnswer }, errors: [404] },
  })
  async rules(
    @Query({ schema: ProjectQuery }) { project_id }: z.infer<typeof ProjectQuery>,
    @CurrentCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const kept = await this.queries.execute(new GetRules(idOf(recordKinds.project, project_id)));
    caller.check('project_rules', 'read', kept.project_id);
    return show(reply, kept, null);
  }

  @Put('rules')
  @Allow('project_rules', 'modify')
  @Describe('setProjectRules', {
    summary: 'Give a project its rules',
    description: 'In place of those that it has. What breaks one is told by validations.',
    ...{ versioned: true, answers: { 200: RulesAnswer }, errors: [404] },
  })
  async setRules(
    @CurrentMutation() mutation: Mutation,
    @Query({ schema: ProjectQuery }) { project_id }: z.infer<typeof ProjectQuery>,
    @Body({ schema: RulesBody }) { rules }: z.infer<typeof RulesBody>,
    @CurrentCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { id } = await this.queries.execute(
      new GetRecord(recordKinds.project, project_id, undefined, mutation.writer.database),
    );
    caller.check('project_rules', 'modify', id);
    const { tid, kept } = await this.commands.execute(new SetRules(mutation, id, rules));
    return show(reply, kept, tid);
  }

  /** Which projects a request is about. Throws `not_found` for one that there is not, `forbidden` for one of others. */
  async #scope(project_id: string | undefined, caller: Caller, action: 'read' | 'repair') {
    const readable = caller.visibility.projects('consistency');
    if (project_id === undefined) return { readable };
    const { id } = await this.queries.execute(new GetRecord(recordKinds.project, project_id));
    caller.check('consistency', action, id);
    return { project_id: id, readable };
  }

  /** What is found of entities, of which the caller may mend all. Those of which only the projection knows are for those who may everywhere. */
  async #repairable(entities: z.infer<typeof EntitiesBody>['entities'], caller: Caller): Promise<Validated[]> {
    const keys = entities.map(({ entity_type, entity_id }) => ({
      entity_type,
      entity_id: idOf(recordKinds[entity_type], String(entity_id)),
    }));
    const found = await this.queries.execute(new ValidateEntities(keys));
    for (const { project_id } of found) caller.check('consistency', 'repair', project_id);
    return found;
  }
}

function knownKey({ entity_type, entity_id }: { entity_type: EntityKey['entity_type']; entity_id: string | number }) {
  const id = parseId(recordKinds[entity_type], entity_id);
  return id === undefined ? undefined : { entity_type, entity_id: id };
}

function show(reply: FastifyReply, { row_version, ...kept }: KeptRules, tid: number | null) {
  tell(reply, { tid, ...(row_version > 0 && { tag: versionTag({ id: kept.project_id, row_version }) }) });
  return kept;
}
