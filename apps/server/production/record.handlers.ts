import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Queryable } from '#libs/database';
import { type Change, changesOf, type Position, type Row } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import {
  changeRecord,
  changeTask,
  createRecord,
  createTask,
  deleteRecord,
  getRecord,
  getRecordAsOf,
  listEntities,
  listRecords,
  type RecordChanged,
  type RecordKind,
  type RecordListOptions,
  recordKinds,
  type Shown,
  type TaskPatch,
} from '#libs/resources';
import type { Mutation } from '../mutation.ts';
import { KERNEL } from '../tokens.ts';

const { task, shot, asset } = recordKinds;

export class CreateRecord extends Command<RecordChanged> {
  constructor(
    readonly mutation: Mutation,
    readonly kind: RecordKind,
    readonly input: Row,
  ) {
    super();
  }
}

@CommandHandler(CreateRecord)
export class CreateRecordHandler implements ICommandHandler<CreateRecord> {
  async execute({ mutation: { writer, actor, ...options }, kind, input }: CreateRecord) {
    if (kind !== task) return createRecord(writer, actor, kind, input, options);
    const { tid, task: record } = await createTask(writer, actor, input, options);
    return { tid, record };
  }
}

export class ChangeRecord extends Command<RecordChanged> {
  constructor(
    readonly mutation: Mutation,
    readonly kind: RecordKind,
    readonly id: string,
    readonly input: Row,
  ) {
    super();
  }
}

@CommandHandler(ChangeRecord)
export class ChangeRecordHandler implements ICommandHandler<ChangeRecord> {
  async execute({ mutation: { writer, actor, ...options }, kind, id, input }: ChangeRecord) {
    if (kind !== task) return changeRecord(writer, actor, kind, id, input, options);
    const { tid, task: record } = await changeTask(writer, actor, id, input as TaskPatch, options);
    return { tid, record };
  }
}

export class DeleteRecord extends Command<{ id: string; tid: number }> {
  constructor(
    readonly mutation: Mutation,
    readonly kind: RecordKind,
    readonly id: string,
  ) {
    super();
  }
}

@CommandHandler(DeleteRecord)
export class DeleteRecordHandler implements ICommandHandler<DeleteRecord> {
  execute({ mutation: { writer, actor, ...options }, kind, id }: DeleteRecord) {
    return deleteRecord(writer, actor, kind, id, options);
  }
}

export class GetRecord extends Query<Shown> {
  constructor(
    readonly kind: RecordKind,
    readonly id: string,
    readonly asOf?: string | undefined,
    /** The database of a mutation: what reads beside an open transaction would need a connection more. */
    readonly database?: Queryable,
  ) {
    super();
  }
}

@QueryHandler(GetRecord)
export class GetRecordHandler implements IQueryHandler<GetRecord> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ kind, id, asOf, database = this.kernel.database }: GetRecord) {
    return asOf === undefined ? getRecord(database, kind, id) : getRecordAsOf(database, kind, id, asOf);
  }
}

export class ListRecords extends Query<Shown[]> {
  constructor(
    readonly kind: RecordKind,
    readonly options: RecordListOptions,
  ) {
    super();
  }
}

@QueryHandler(ListRecords)
export class ListRecordsHandler implements IQueryHandler<ListRecords> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ kind, options }: ListRecords): Promise<Shown[]> {
    const { database } = this.kernel;
    if (kind === shot) return listEntities(database, 'shot', options);
    return kind === asset ? listEntities(database, 'asset', options) : listRecords(database, kind, options);
  }
}

export class GetRecordHistory extends Query<Change[]> {
  constructor(
    readonly kind: RecordKind,
    readonly id: string,
    readonly options: { before?: Position; limit: number },
  ) {
    super();
  }
}

@QueryHandler(GetRecordHistory)
export class GetRecordHistoryHandler implements IQueryHandler<GetRecordHistory> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ kind, id, options: { before, limit } }: GetRecordHistory) {
    return changesOf(this.kernel.database, kind.name, id, { limit, ...(before ? { before: before.tid } : {}) });
  }
}

export const recordHandlers = [
  ...[CreateRecordHandler, ChangeRecordHandler, DeleteRecordHandler],
  ...[GetRecordHandler, ListRecordsHandler, GetRecordHistoryHandler],
];
