import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type Change, changesOfTid } from '#libs/journal';
import type { Kernel } from '#libs/kernel';
import { KERNEL } from '../tokens.ts';
import { type JournalAnswer, type JournalRequest, readJournal } from './journal.ts';

export class ReadJournal extends Query<JournalAnswer> {
  constructor(readonly request: JournalRequest) {
    super();
  }
}

@QueryHandler(ReadJournal)
export class ReadJournalHandler implements IQueryHandler<ReadJournal> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ request }: ReadJournal) {
    return readJournal(this.kernel, request);
  }
}

export class GetTid extends Query<Change[]> {
  constructor(readonly tid: number) {
    super();
  }
}

@QueryHandler(GetTid)
export class GetTidHandler implements IQueryHandler<GetTid> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ tid }: GetTid) {
    return changesOfTid(this.kernel.database, tid);
  }
}

export const journalHandlers = [ReadJournalHandler, GetTidHandler];
