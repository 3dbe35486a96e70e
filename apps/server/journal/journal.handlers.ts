import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Kernel } from '#libs/kernel';
import { KERNEL } from '../tokens.ts';
import {
  type JournalAnswer,
  type JournalRequest,
  readJournal,
  readTid,
  type TidAnswer,
  type TidRequest,
} from './journal.ts';

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

export class GetTid extends Query<TidAnswer> {
  constructor(readonly request: TidRequest) {
    super();
  }
}

@QueryHandler(GetTid)
export class GetTidHandler implements IQueryHandler<GetTid> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ request }: GetTid) {
    return readTid(this.kernel, request);
  }
}

export const journalHandlers = [ReadJournalHandler, GetTidHandler];
