import { KernelError, type Queryable, translate } from '#libs/database';
import type { Actor, Writer } from '#libs/journal';
import { type Check, type Found, findingKey, type Looked } from './check.ts';
import { selectOpen } from './findings.queries.ts';
import { lookAgain, type Recorded, record, resolveOthers } from './findings.ts';

const PAGE = 5_000;
const AGAIN = 500;

export interface VerifyOptions {
  readonly actor: Actor;
  /** Told of each violation that is not accepted, check by check. */
  onFound?(check: Check, recorded: Recorded): void | Promise<void>;
  /** Told of a check of which nothing can be said now. */
  onSkipped?(check: Check, why: string): void;
  /** Rows in a page; default 5,000. */
  readonly page?: number;
  readonly signal?: AbortSignal;
}

export interface Verified {
  readonly checks: number;
  readonly rows: number;
  /** Violations that are not accepted. */
  readonly findings: number;
  /** Violations that changes which are still to be applied may explain. */
  readonly stale: number;
}

/** Runs checks over everything, page by page, each page in one snapshot; enters what they find, and resolves what is no more. */
export async function verify(
  tools: { readonly writer: Writer; readonly database: Queryable },
  checks: readonly Check[],
  options: VerifyOptions,
): Promise<Verified> {
  const sum = { checks: 0, rows: 0, findings: 0, stale: 0 };
  for (const check of checks) {
    const seen = new Set<string>();
    let conclusive = true;
    for (let after: string | null = null, begun = false; !begun || after !== null; begun = true) {
      options.signal?.throwIfAborted();
      const looked = await find(check, after, options.page ?? PAGE);
      if (looked.skipped !== undefined) options.onSkipped?.(check, looked.skipped);
      conclusive &&= looked.skipped === undefined && !looked.cut;
      sum.rows += looked.rows;
      sum.stale += looked.found.filter(({ stale }) => stale).length;
      sum.findings += await enter(tools.writer, check, looked.found, options, seen);
      after = looked.next;
    }
    sum.checks += 1;
    if (conclusive) await resolve(tools, check, seen, options.actor);
  }
  return sum;
}

/** Whatever is in the way, it is said of which check. */
async function find(check: Check, after: string | null, limit: number): Promise<Looked> {
  try {
    return await check.find({ after, limit });
  } catch (error) {
    const known = translate(error);
    if (!(known instanceof KernelError)) throw error;
    const message = `the check ${check.name} of ${check.resource} cannot be run: ${known.message}`;
    throw new KernelError(known.code, message, { cause: error });
  }
}

async function enter(
  writer: Writer,
  check: Check,
  found: readonly Found[],
  { actor, onFound }: VerifyOptions,
  seen: Set<string>,
): Promise<number> {
  const recorded = await record(writer, actor, check, found);
  if (check.whole) for (const one of found) seen.add(findingKey(check, one));
  const counted = recorded.filter(({ state }) => state === 'open');
  for (const one of counted) await onFound?.(check, one);
  return counted.length;
}

/** Looks again at what is open until all of it was: each is found now, or resolved. */
async function resolve(
  { writer, database }: { writer: Writer; database: Queryable },
  check: Check,
  seen: ReadonlySet<string>,
  actor: Actor,
): Promise<void> {
  if (check.whole) {
    const open = await selectOpen(database, check, Number.MAX_SAFE_INTEGER);
    const gone = open.filter(({ key }) => !seen.has(key));
    await resolveOthers(writer, actor, check, gone, []);
    return;
  }
  const open = await selectOpen(database, check, Number.MAX_SAFE_INTEGER);
  for (let looked = 0; looked < open.length; looked += AGAIN) {
    await lookAgain({ writer, database }, actor, check, AGAIN);
  }
}
