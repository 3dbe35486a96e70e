import { type RawBuilder, sql } from 'kysely';
import { KernelError } from '#libs/database';
import { type Actor, atVersion, type Condition, holds, staleError, versionTag, type Writer } from '#libs/journal';
import { checkCharacters } from '../characters.ts';
import { findPage, findPageAt, findPageRow } from './wiki.queries.ts';
import { checkName, checkText, noPage, type Page, type WikiRow, wiki } from './wiki.ts';

export interface PageInput {
  text: string;
  comment?: string | undefined;
  /** Stays as it is when absent; false for a new page. */
  readonly?: boolean | undefined;
}

/** The highest tid a command drew, null when it changed nothing, and the page after it. */
export interface PageChanged {
  tid: number | null;
  page: Page;
}

const PUT_ATTEMPTS = 5;

/**
 * Writes a page, creating it when no page bears the name. Of two that create it at once, one modifies what the other has
 * created. Throws `invalid` or `too_large` for bad input, `stale` when the condition does not hold, `forbidden` when the page is readonly, or
 * is to be, and the caller may not protect pages, `conflict` when the page kept coming and going.
 */
export async function putPage(
  writer: Writer,
  actor: Actor,
  name: string,
  input: PageInput,
  condition?: Condition,
  mayProtect = true,
): Promise<PageChanged & { created: boolean }> {
  checkName(name);
  checkText(input.text);
  if (input.comment !== undefined) checkCharacters(input.comment, 'comment');
  if (input.readonly && !mayProtect) throw isProtected(name, 'making it readonly');
  const by = { ...actor, comment: input.comment ?? actor.comment ?? null };
  for (let attempt = 1; attempt <= PUT_ATTEMPTS; attempt++) {
    const modified = await modifyPage(writer, by, name, input, condition, mayProtect);
    if (modified) return { created: false, ...modified };
    const created = holds(condition, undefined) ? await createPage(writer, by, name, input) : undefined;
    if (created) return { created: true, ...created };
    const refusal = refusalOf(name, await findPage(writer.database, name), condition, mayProtect);
    if (refusal) throw refusal;
  }
  throw new KernelError('conflict', `page ${JSON.stringify(name)} is being created and deleted by others: try again`);
}

/**
 * Deletes a page; its history stays. Throws `not_found` when no page bears the name, `stale` when the condition does not hold, `forbidden`
 * when it is readonly and the caller may not protect pages.
 */
export async function deletePage(
  writer: Writer,
  actor: Actor,
  name: string,
  condition?: Condition,
  mayProtect = true,
): Promise<{ id: string; tid: number }> {
  checkName(name);
  const statement = writer.db
    .deleteFrom('wiki')
    .where('name', '=', name)
    .where(atVersion(condition))
    .where(changeable(mayProtect))
    .returning('id');
  const { tid, result } = await writer.transaction(actor, (tx) => tx.stage(statement));
  const row = result.rows[0];
  if (!row || tid === null) throw await unmet(writer, name, condition, mayProtect);
  return { id: String(row['id']), tid };
}

/**
 * Gives a page another name, its history stays with it; with `redirect` a page that points to the new name takes the old one. Throws
 * `not_found` when there is no such page, `invalid` for a bad or the same name, `conflict` when the name is taken, `stale` when the
 * condition does not hold, `forbidden` when the page is readonly and the caller may not protect pages.
 */
export async function renamePage(
  writer: Writer,
  actor: Actor,
  name: string,
  { to, redirect = false }: { to: string; redirect?: boolean | undefined },
  condition?: Condition,
  mayProtect = true,
): Promise<PageChanged & { tid: number }> {
  checkName(name);
  checkName(to, 'to');
  if (to === name) throw invalidTarget('the page already bears that name');
  const statement = writer.db
    .updateTable('wiki')
    .set({ name: to })
    .where('name', '=', name)
    .where(atVersion(condition))
    .where(changeable(mayProtect))
    .returning('id');
  const { tid, result: id } = await writer
    .transaction(actor, async (tx) => {
      const renamed = tx.stage(statement);
      await tx.flush();
      const row = renamed.rows[0];
      if (row && redirect) tx.create(wiki, { name, text: `See [wiki:"${to}"].` });
      return row && String(row['id']);
    })
    .catch((error: unknown) => {
      if (!isTaken(error)) throw error;
      throw new KernelError('conflict', `a page named ${JSON.stringify(to)} exists`, { cause: error });
    });
  // asked for now: while it holds one connection a process must not wait for another
  if (id === undefined) throw await unmet(writer, name, condition, mayProtect);
  const page = tid === null ? undefined : await findPageAt(writer.database, id, tid);
  if (!page || tid === null) throw noPage(name);
  return { tid, page };
}

async function modifyPage(
  writer: Writer,
  actor: Actor,
  name: string,
  { text, readonly }: PageInput,
  condition: Condition | undefined,
  mayProtect: boolean,
): Promise<PageChanged | undefined> {
  const page = await findPageRow(writer.database, name);
  if (!page || !holds(condition, versionTag(page))) return undefined;
  // A page that is renamed meanwhile keeps its text.
  const when = {
    name,
    ...(condition?.kind === 'version' ? { row_version: page.row_version } : {}),
    ...(mayProtect ? {} : { readonly: false }),
  };
  const values = { text, bytes: null, ...(readonly === undefined ? {} : { readonly }) };
  const { tid, time, result } = await writer.transaction(actor, (tx) =>
    tx.save(wiki, page.id, values, { when, returning: ['version', 'readonly'] }),
  );
  const { row } = result;
  if (!row) return undefined;
  if (tid === null) return whole(null, await findPage(writer.database, name));
  if (time === undefined) return whole(tid, await findPageAt(writer.database, page.id, tid));
  const { version, readonly: locked, row_version } = row as WikiRow;
  const { author, comment = null } = actor;
  return { tid, page: { id: page.id, name, version, text, readonly: locked, author, time, comment, tid, row_version } };
}

async function createPage(
  writer: Writer,
  actor: Actor,
  name: string,
  { text, readonly = false }: PageInput,
): Promise<PageChanged | undefined> {
  const insert = writer.db
    .insertInto('wiki')
    .values({ name, text, readonly })
    .onConflict((conflict) => conflict.doNothing())
    .returning('id');
  const { tid, result } = await writer.transaction(actor, (tx) => tx.stage(insert));
  const row = result.rows[0];
  const page = row && tid !== null ? await findPageAt(writer.database, String(row['id']), tid) : undefined;
  return page && { tid, page };
}

function whole(tid: number | null, page: Page | undefined): PageChanged | undefined {
  return page && { tid, page };
}

// Judged on the locked row, like the condition: whoever makes a page readonly at the same moment comes before or after.
function changeable(mayProtect: boolean): RawBuilder<boolean> {
  return mayProtect ? sql<boolean>`true` : sql<boolean>`NOT readonly`;
}

/** Why a change has met no page. */
async function unmet(
  writer: Writer,
  name: string,
  condition: Condition | undefined,
  mayProtect: boolean,
): Promise<KernelError> {
  const page = await findPage(writer.database, name);
  if (!page) return noPage(name);
  const refusal = refusalOf(name, page, condition, mayProtect);
  return refusal ?? new KernelError('conflict', 'another change came in between: try again');
}

function refusalOf(
  name: string,
  page: Page | undefined,
  condition: Condition | undefined,
  mayProtect: boolean,
): KernelError | undefined {
  if (page?.readonly && !mayProtect) return isProtected(name, 'it is readonly, changing it');
  const tag = page && versionTag(page);
  return condition && !holds(condition, tag) ? staleError(condition, `page ${JSON.stringify(name)}`, tag) : undefined;
}

function isProtected(name: string, what: string): KernelError {
  return new KernelError('forbidden', `page ${JSON.stringify(name)}: ${what} needs the permission wiki:protect`);
}

function isTaken(error: unknown): boolean {
  return error instanceof KernelError && (error.cause as { code?: string } | undefined)?.code === '23505';
}

function invalidTarget(message: string): KernelError {
  return new KernelError('invalid', message, { errors: [{ path: 'to', message }] });
}
