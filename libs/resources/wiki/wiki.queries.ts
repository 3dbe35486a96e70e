import { gathered, KernelError, type Queryable } from '#libs/database';
import { type Change, changesOf, findId, findIdAsOf, resolveAsOf, rowAsOf, utc } from '#libs/journal';
import { checkName, noPage, type Page, wiki } from './wiki.ts';

/** The page as it is, with its last change. Throws `invalid` for a bad name, `not_found` when no page bears the name. */
export async function getPage(db: Queryable, name: string): Promise<Page> {
  checkName(name);
  const page = await findPage(db, name);
  if (!page) throw noPage(name);
  return page;
}

/** The page in a version of its text, as it was when that version was made. Throws `invalid`, `not_found`. */
export async function getPageVersion(db: Queryable, name: string, version: number): Promise<Page> {
  checkName(name);
  const row = await findPageRow(db, name);
  if (!row) throw noPage(name);
  return findPageVersion(db, { id: row.id, name }, version);
}

/** The same of a page that was looked up already. Throws `not_found` for a version that there is not. */
export async function findPageVersion(
  db: Queryable,
  { id, name }: Pick<Page, 'id' | 'name'>,
  version: number,
): Promise<Page> {
  const tid = await findTidOfVersion(db, id, version);
  const page = tid === undefined ? undefined : await findPageAt(db, id, tid);
  if (!page) throw new KernelError('not_found', `page ${quoted(name)} has no version ${version}`);
  return page;
}

/** The page that bore the name as of a tid or a time. Throws `not_found` also for a time outside the journal. */
export async function getPageAsOf(db: Queryable, name: string, asOf: string): Promise<Page> {
  checkName(name);
  const tid = await resolveAsOf(db, asOf);
  const id = await findIdAsOf(db, wiki, name, tid);
  const page = id === undefined ? undefined : await findPageAt(db, id, tid);
  if (!page) throw new KernelError('not_found', `no page was named ${quoted(name)} as of ${asOf}`);
  return page;
}

/**
 * The changes of a page, newest first, before a tid: of the page that bears the name, else of the last one that did, so the
 * history of a deleted page can be read. Throws `not_found` when there never was one.
 */
export async function getPageHistory(
  db: Queryable,
  name: string,
  options: { before?: number; limit: number },
): Promise<Change[]> {
  checkName(name);
  const id = await findId(db, wiki, name);
  if (id === undefined) throw new KernelError('not_found', `no page was ever named ${quoted(name)}`);
  return changesOf(db, wiki.name, id, options);
}

/** The page as of a tid; undefined when it did not exist then. */
export async function findPageAt(db: Queryable, id: string, tid: number): Promise<Page | undefined> {
  const found = await rowAsOf(db, wiki.name, id, tid);
  if (!found) return undefined;
  const { values, entry } = found;
  return {
    ...{ id, name: String(values['name']), version: Number(values['version']) },
    ...contents((values['text'] as string | undefined) ?? null, bytesOf(values['bytes'])),
    readonly: values['readonly'] === true,
    ...{ author: entry.author, time: entry.time, comment: entry.comment, tid: entry.tid },
    row_version: entry.row_version ?? 0,
  };
}

/** Where the living page of a name stands. */
export const findPageRow = gathered<string, Pick<Page, 'id' | 'row_version'>>(async (db, names) => {
  const { rows } = await db.query<{ name: string; id: string; row_version: number }>(
    'SELECT name, id::text AS id, row_version FROM wiki WHERE name = ANY ((SELECT $1)::text[])',
    [names],
    'tidemark_wiki_rows',
  );
  return new Map(rows.map(({ name, id, row_version }) => [name, { id, row_version }]));
});

/** The living page of a name and its last change, in one snapshot. */
export async function findPage(db: Queryable, name: string): Promise<Page | undefined> {
  const { rows } = await db.query<
    Omit<Page, 'tid' | 'bytes' | 'row_version'> & { bytes: Buffer | null; tid: string; row_version: string }
  >(
    `SELECT w.id::text AS id, w.name, w.version, w.text, w.bytes, w.readonly, w.row_version::text AS row_version, j.author,
         ${utc('j.time')} AS time, j.comment, j.tid::text AS tid
       FROM wiki w CROSS JOIN LATERAL (
         SELECT author, time, comment, tid FROM wiki_journal WHERE id = w.id::text ORDER BY tid DESC LIMIT 1
       ) j
       WHERE w.name = $1`,
    [name],
    'tidemark_wiki_page',
  );
  const row = rows[0];
  if (!row) return undefined;
  const { text, bytes, tid, row_version, ...rest } = row;
  return { ...rest, ...contents(text, bytes), tid: Number(tid), row_version: Number(row_version) };
}

async function findTidOfVersion(db: Queryable, id: string, version: number): Promise<number | undefined> {
  const { rows } = await db.query<{ tid: string }>(
    `SELECT h.tid::text AS tid FROM wiki_journal j JOIN wiki_history h ON h.tid = j.tid AND h.id = j.id
       WHERE j.id = $1 AND h.field = 'version' AND h.value = to_jsonb($2::int) ORDER BY h.tid DESC LIMIT 1`,
    [id, version],
  );
  return rows[0] && Number(rows[0].tid);
}

function contents(text: string | null, bytes: Buffer | null): Pick<Page, 'text' | 'bytes'> {
  return bytes === null ? { text } : { text: null, bytes: bytes.toString('base64') };
}

// The journal holds bytea as PostgreSQL writes it: \x and hexadecimal digits.
function bytesOf(value: unknown): Buffer | null {
  return typeof value === 'string' ? Buffer.from(value.slice(2), 'hex') : null;
}

function quoted(name: string): string {
  return JSON.stringify(name);
}
