import type { Kysely } from 'kysely';
import { KernelError, type Queryable } from '#libs/database';
import type { Actor, ModelTransaction } from '#libs/journal';
import { findPage, findPageAt } from './wiki.queries.ts';
import { checkCharacters, checkName, checkText, type Page, type WikiRow, wiki } from './wiki.ts';

/** What these commands need of a kernel. */
export interface WikiKernel {
  readonly database: Queryable;
  // biome-ignore lint/suspicious/noExplicitAny: the tables of the host are not known here
  readonly db: Kysely<any>;
  transaction<T>(
    actor: Actor,
    // biome-ignore lint/suspicious/noExplicitAny: as above
    work: (tx: ModelTransaction<any>) => T | Promise<T>,
  ): Promise<{ tid: number | null; result: T }>;
}

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
 * created. Throws `invalid` or `too_large` for bad input, `conflict` when the page kept coming and going.
 */
export async function putPage(
  kernel: WikiKernel,
  actor: Actor,
  name: string,
  input: PageInput,
): Promise<PageChanged & { created: boolean }> {
  checkName(name);
  checkText(input.text);
  if (input.comment !== undefined) checkCharacters(input.comment, 'comment');
  const writer = { ...actor, comment: input.comment ?? actor.comment ?? null };
  for (let attempt = 1; attempt <= PUT_ATTEMPTS; attempt++) {
    const modified = await modifyPage(kernel, writer, name, input);
    if (modified) return { created: false, ...modified };
    const created = await createPage(kernel, writer, name, input);
    if (created) return { created: true, ...created };
  }
  throw new KernelError('conflict', `page ${JSON.stringify(name)} is being created and deleted by others: try again`);
}

/** Deletes a page; its history stays. Throws `not_found` when no page bears the name. */
export async function deletePage(kernel: WikiKernel, actor: Actor, name: string): Promise<{ id: string; tid: number }> {
  checkName(name);
  const { tid, result } = await kernel.transaction(actor, (tx) =>
    tx.stage(kernel.db.deleteFrom('wiki').where('name', '=', name).returning('id')),
  );
  const row = result.rows[0];
  if (!row || tid === null) throw notFound(name);
  return { id: String(row['id']), tid };
}

/**
 * Gives a page another name, its history stays with it; with `redirect` a page that points to the new name takes the old one.
 * Throws `not_found` when there is no such page, `invalid` for a bad or the same name, `conflict` when the name is taken.
 */
export async function renamePage(
  kernel: WikiKernel,
  actor: Actor,
  name: string,
  { to, redirect = false }: { to: string; redirect?: boolean | undefined },
): Promise<PageChanged & { tid: number }> {
  checkName(name);
  checkName(to, 'to');
  if (to === name) throw invalidTarget('the page already bears that name');
  const { tid, result: id } = await kernel
    .transaction(actor, async (tx) => {
      const renamed = tx.stage(
        kernel.db.updateTable('wiki').set({ name: to }).where('name', '=', name).returning('id'),
      );
      await tx.flush();
      const row = renamed.rows[0];
      if (!row) throw notFound(name);
      if (redirect) tx.create(wiki, { name, text: `See [wiki:"${to}"].` });
      return String(row['id']);
    })
    .catch((error: unknown) => {
      if (!isConflict(error)) throw error;
      throw new KernelError('conflict', `a page named ${JSON.stringify(to)} exists`, { cause: error });
    });
  const page = tid === null ? undefined : await findPageAt(kernel.database, id, tid);
  if (!page || tid === null) throw notFound(name);
  return { tid, page };
}

async function modifyPage(
  kernel: WikiKernel,
  actor: Actor,
  name: string,
  input: PageInput,
): Promise<PageChanged | undefined> {
  // By name and not by the id found before: a page renamed meanwhile keeps its text.
  const update = kernel.db
    .updateTable('wiki')
    .set({
      text: input.text,
      bytes: null,
      ...(input.readonly === undefined ? {} : { readonly: input.readonly }),
    })
    .where('name', '=', name)
    .returning('id');
  const { tid, result } = await kernel.transaction(actor, (tx) => tx.stage(update));
  const row = result.rows[0];
  if (!row) return undefined;
  const page =
    tid === null ? await findPage(kernel.database, name) : await findPageAt(kernel.database, String(row['id']), tid);
  return page && { tid, page };
}

async function createPage(
  kernel: WikiKernel,
  actor: Actor,
  name: string,
  input: PageInput,
): Promise<PageChanged | undefined> {
  const values: Partial<WikiRow> = { name, text: input.text, readonly: input.readonly ?? false };
  try {
    const { tid, result } = await kernel.transaction(actor, (tx) => tx.create(wiki, values));
    const page = tid === null ? undefined : await findPageAt(kernel.database, String(result.row.id), tid);
    return page && { tid, page };
  } catch (error) {
    if (isConflict(error)) return undefined;
    throw error;
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof KernelError && error.code === 'conflict';
}

function notFound(name: string): KernelError {
  return new KernelError('not_found', `no page is named ${JSON.stringify(name)}`);
}

function invalidTarget(message: string): KernelError {
  return new KernelError('invalid', message, { errors: [{ path: 'to', message }] });
}
