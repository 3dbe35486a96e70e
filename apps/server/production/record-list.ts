import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { StreamableFile } from '@nestjs/common';
import { KernelError } from '#libs/database';
import { type FieldError, parseId, type RecordKind, type RecordListOptions, refuse, type Shown } from '#libs/resources';
import { withoutRowVersion } from '../mutation.ts';
import { decodeNameCursor, encodeNameCursor, type ListPage, pageOf } from '../paging.ts';

export const NDJSON = 'application/x-ndjson';

type Filter = NonNullable<RecordListOptions['filter']>;
type Read = (options: Pick<RecordListOptions, 'filter' | 'after' | 'limit'>) => Promise<Shown[]>;

export interface AskedList {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** A list of records that somebody asks for: its filters, and where it goes on. Throws `invalid` for a filter that no record can have. */
export class RecordList {
  readonly #kind: RecordKind;
  readonly #epoch: string;
  readonly #filter: Filter;
  readonly #limit: number;
  readonly #after: string | undefined;
  readonly #name: string;

  constructor(kind: RecordKind, epoch: string, { limit, cursor, ...filters }: AskedList & Record<string, unknown>) {
    this.#kind = kind;
    this.#epoch = epoch;
    this.#limit = limit;
    this.#filter = filterOf(kind, filters as Record<string, string | undefined>);
    this.#name = createHash('sha256')
      .update(JSON.stringify([kind.name, Object.entries(this.#filter).sort()]))
      .digest('base64url')
      .slice(0, 12);
    this.#after = cursor === undefined ? undefined : this.#place(cursor);
  }

  async page(read: Read): Promise<ListPage<object>> {
    const found = await read({ filter: this.#filter, after: this.#after, limit: this.#limit + 1 });
    const { items, next } = pageOf(found, this.#limit, ({ id }) =>
      encodeNameCursor(this.#epoch, `${this.#name} ${id}`),
    );
    return { items: items.map(withoutRowVersion), next };
  }

  /** All of it, a record in each line. Its first records are there before anything is sent. */
  async stream(read: Read): Promise<StreamableFile> {
    const first = await this.#read(read, this.#after);
    return new StreamableFile(Readable.from(this.#lines(read, first)), { type: NDJSON });
  }

  async *#lines(read: Read, first: Shown[]): AsyncGenerator<string> {
    for (let some = first; some.length > 0; some = await this.#read(read, some.at(-1)?.id)) {
      yield some.map((record) => `${JSON.stringify(withoutRowVersion(record))}\n`).join('');
      if (some.length < STREAMED) return;
    }
  }

  #read(read: Read, after: string | undefined): Promise<Shown[]> {
    return read({ filter: this.#filter, after, limit: STREAMED });
  }

  #place(cursor: string): string {
    const [name, id] = decodeNameCursor(this.#epoch, cursor).split(' ');
    if (name !== this.#name) throw new KernelError('malformed', 'the cursor belongs to a list with other filters');
    const key = parseId(this.#kind, id);
    if (key === undefined) throw new KernelError('malformed', 'the cursor is not one that this program gave out');
    return key;
  }
}

const STREAMED = 500;

function filterOf(kind: RecordKind, given: Record<string, string | undefined>): Filter {
  const errors: FieldError[] = [];
  const filter = Object.entries(given).flatMap(([name, value]) => {
    const field = kind.fields[name];
    if (value === undefined || field === undefined) return [];
    if (field.nullable && value === 'none') return [[name, null]];
    const of = field.type === 'reference' && field.to.startsWith('task_') ? 'name' : 'number';
    const isId = field.type === 'reference' || field.type === 'entity';
    if (isId && parseId({ id: of }, value) === undefined) errors.push({ path: name, message: `${name} is no id` });
    else if (field.type === 'choice' && !field.of.includes(value)) {
      errors.push({ path: name, message: `${name} must be ${field.of.join(' or ')}` });
    } else if (/\0/.test(value)) errors.push({ path: name, message: `${name} must not hold a NUL character` });
    return [[name, value]];
  });
  refuse(errors);
  return Object.fromEntries(filter);
}
