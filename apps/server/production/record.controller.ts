import {
  Body,
  Controller,
  Delete,
  Get,
  Headers,
  Inject,
  Param,
  Post,
  Put,
  Query,
  Res,
  type StreamableFile,
  type Type,
} from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Row } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import type { Projection } from '#libs/projection';
import { noRecord, nounOf, projectOf, type RecordKind } from '#libs/resources';
import { preferredType } from '../accept.ts';
import { type Caller, CurrentCaller } from '../caller.ts';
import { ChangeAnswer, causes } from '../journal/journal.answers.ts';
import { CurrentMutation, type Mutation, show, tell, withoutRowVersion } from '../mutation.ts';
import { listOf, tid } from '../openapi/answer-types.ts';
import { Describe } from '../openapi/describe.ts';
import { exampleOf } from '../openapi/json-schema.ts';
import { historyPage } from '../paging.ts';
import { Allow } from '../permission.guard.ts';
import { ReadsProjections } from '../reads-projections.ts';
import { KERNEL } from '../tokens.ts';
import { asOf, body, paging, query } from '../validation.ts';
import {
  ChangeRecord,
  CreateRecord,
  DeleteRecord,
  GetRecord,
  GetRecordHistory,
  ListRecords,
} from './record.handlers.ts';
import { type AskedList, NDJSON, RecordList } from './record-list.ts';
import { changeShape, createBody, listQuery, recordAnswer } from './record-schemas.ts';

/** What the routes of one kind of record are called, and what they show. */
export interface RecordRoutes {
  readonly kind: RecordKind;
  readonly path: string;
  /** In operation ids and names of schemas: `Shot`, `Shots`. */
  readonly one: string;
  readonly many: string;
  /** A record as it is answered, and what makes and changes one. */
  readonly examples: { readonly record: object; readonly create: object; readonly change: object };
  /** What a change may give beside the record's fields. */
  readonly changes?: z.ZodRawShape;
  /** Which permission a change needs at least; `modify` unless given. */
  readonly changing?: string;
  /** What records of a list have beside their fields, with an example, and the projection from which it comes. */
  readonly listed?: {
    readonly shape: z.ZodRawShape;
    readonly example: object;
    readonly projection: Projection;
  };
}

const RecordQuery = query({ as_of: asOf() });
const HistoryQuery = query(paging);

/** The controller of one kind of record: all of them are made, read, changed and deleted alike. */
export function recordController(routes: RecordRoutes): Type {
  const { kind, path, one, many, examples, changes = {}, changing = 'modify', listed } = routes;
  const { name } = kind;
  const noun = nounOf(kind);
  const a = /^[aeiou]/.test(noun) ? `an ${noun}` : `a ${noun}`;
  const nouns = path.replace('-', ' ');
  const CreateBody = createBody(kind, { id: `New${one}`, examples: [examples.create] });
  const ChangeBody = body({ ...changeShape(kind), ...changes }).meta({
    id: `${one}Patch`,
    examples: [examples.change],
  });
  const Answer = recordAnswer(kind, { id: one, examples: [examples.record] });
  const itemExample = { ...examples.record, ...listed?.example };
  const Item = listed ? recordAnswer(kind, { id: `Listed${one}`, examples: [itemExample] }, listed.shape) : Answer;
  const List = listOf(`${one}List`, Item, itemExample);
  const Deleted = z.object({ id: z.string(), tid: tid() }).meta({
    ...{ id: `${one}Deleted`, examples: [{ id: (examples.record as { id: string }).id, tid: 43 }] },
  });
  const Entry = z.object({ ...ChangeAnswer.shape, causes }).meta({ id: `${one}Change` });
  const example = (examples.record as { id: string }).id;
  const change = { ...(exampleOf(ChangeAnswer) as object), resource: name, id: example, causes: [] };
  const History = listOf(`${one}History`, Entry, change);
  const ListQuery = listQuery(kind);
  const readsListed: MethodDecorator = listed ? ReadsProjections(listed.projection) : () => undefined;
  const params = { id: z.string().meta({ description: `The id of ${a}`, examples: [example] }) };

  @Controller(path)
  class RecordController {
    constructor(
      @Inject(CommandBus) private readonly commands: CommandBus,
      @Inject(QueryBus) private readonly queries: QueryBus,
      @Inject(KERNEL) private readonly kernel: Kernel,
    ) {}

    @Get()
    @Allow(name, 'read')
    @readsListed
    @Describe(`list${many}`, {
      summary: `List ${nouns}`,
      description: `Those that meet all filters, in the order of their ids. With \`Accept: ${NDJSON}\` all of them, one in each line.`,
      answers: { 200: List },
      other: {
        type: NDJSON,
        description: `All ${nouns} that meet the filters, one in each line`,
        example: `${JSON.stringify(itemExample)}\n`,
      },
    })
    async list(
      @Query({ schema: ListQuery }) asked: AskedList,
      @Headers('accept') accept: string | undefined,
      @CurrentCaller() { visibility }: Caller,
      @Res({ passthrough: true }) reply: FastifyReply,
    ): Promise<object | StreamableFile> {
      const list = new RecordList(kind, this.kernel.epoch, { ...asked });
      const readable = visibility.projects(name);
      const read = (options: ConstructorParameters<typeof ListRecords>[1]) =>
        this.queries.execute(new ListRecords(kind, { ...options, readable }));
      reply.header('Vary', 'Accept');
      return preferredType(accept, ['application/json', NDJSON]) === NDJSON ? list.stream(read) : list.page(read);
    }

    @Post()
    @Allow(name, 'create')
    @Describe(`create${one}`, { summary: `Make ${a}`, versioned: true, answers: { 201: Answer } })
    async create(
      @CurrentMutation() mutation: Mutation,
      @Body({ schema: CreateBody }) input: Row,
      @Res({ passthrough: true }) reply: FastifyReply,
    ) {
      const { tid: drawn, record } = await this.commands.execute(new CreateRecord(mutation, kind, input));
      reply.header('Location', `/${path}/${record.id}`);
      return show(reply, record, drawn);
    }

    @Get(':id')
    @Allow(name, 'read')
    @Describe(`get${one}`, {
      summary: `Read ${a}`,
      ...{ params, versioned: true, answers: { 200: Answer }, errors: [404] },
    })
    async get(
      @Param('id') id: string,
      @Query({ schema: RecordQuery }) { as_of }: z.infer<typeof RecordQuery>,
      @CurrentCaller() caller: Caller,
      @Res({ passthrough: true }) reply: FastifyReply,
    ) {
      const record = await this.queries.execute(new GetRecord(kind, id, as_of));
      if (!caller.visibility.mayRead(name, projectOf(kind, record))) throw noRecord(kind, id);
      return as_of === undefined ? show(reply, record) : withoutRowVersion(record);
    }

    @Put(':id')
    @Allow(name, changing)
    @Describe(`change${one}`, {
      summary: `Change ${a}`,
      description: 'Fields that are left out stay as they are.',
      ...{ params, versioned: true, answers: { 200: Answer }, errors: [404] },
    })
    async change(
      @CurrentMutation() mutation: Mutation,
      @Param('id') id: string,
      @Body({ schema: ChangeBody }) input: Row,
      @Res({ passthrough: true }) reply: FastifyReply,
    ) {
      const { tid: drawn, record } = await this.commands.execute(new ChangeRecord(mutation, kind, id, input));
      return show(reply, record, drawn);
    }

    @Delete(':id')
    @Allow(name, 'delete')
    @Describe(`delete${one}`, {
      summary: `Delete ${a}`,
      description: 'Its history stays.',
      ...{ params, versioned: true, answers: { 200: Deleted }, errors: [404] },
    })
    async delete(
      @CurrentMutation() mutation: Mutation,
      @Param('id') id: string,
      @Res({ passthrough: true }) reply: FastifyReply,
    ) {
      const deleted = await this.commands.execute(new DeleteRecord(mutation, kind, id));
      tell(reply, { tid: deleted.tid });
      return deleted;
    }

    @Get(':id/history')
    @Allow(name, 'read')
    @Describe(`get${one}History`, {
      summary: `List the changes of ${a}, newest first`,
      ...{ params, answers: { 200: History }, errors: [404] },
    })
    async history(
      @Param('id') id: string,
      @Query({ schema: HistoryQuery }) { limit, cursor }: z.infer<typeof HistoryQuery>,
      @CurrentCaller() { visibility }: Caller,
    ) {
      const read = (options: ConstructorParameters<typeof GetRecordHistory>[2]) =>
        this.queries.execute(new GetRecordHistory(kind, id, options));
      const page = await historyPage(this.kernel, limit, cursor, read, visibility);
      if (page.items.length === 0 && page.next === null && cursor === undefined) throw noRecord(kind, id);
      return page;
    }
  }

  Object.defineProperty(RecordController, 'name', { value: `${many}Controller` });
  return RecordController;
}
