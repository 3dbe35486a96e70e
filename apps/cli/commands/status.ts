import { type FloorHolder, tailStatus } from '#libs/dispatch';
import { findTableProblems } from '../doctor.queries.ts';
import { type ReaderOptions, withReader } from '../open.ts';
import { print, printJson, table } from '../output.ts';
import type { Context } from '../program.ts';

/** `tidemark status`: head, safe, who holds the tail, the processes, and tables that need journal_table(). */
export async function status(_context: Context, options: ReaderOptions): Promise<void> {
  await withReader(options, async ({ db }) => {
    const { head, safe, floorHolders, processes } = await tailStatus(db);
    const tables = await findTableProblems(db);
    if (options.json) return printJson({ head, safe, floor_holders: floorHolders, processes, table_problems: tables });
    await print(`head ${head}, safe ${safe}${head === safe ? '' : `: ${head - safe} tids are held back`}`);
    for (const holder of floorHolders) await print(`the tail is held at ${holder.floor} by ${holderText(holder)}`);
    const rows = processes.map(({ name, host, pid, version, position, started }) => [
      name,
      `${host}:${pid}`,
      version,
      `at ${position}`,
      `since ${started}`,
    ]);
    await print(rows.length === 0 ? 'no process is running' : table(rows));
    for (const { relation, problem } of tables) await print(`table ${relation}: ${problem}`);
  });
}

/** A transaction that holds the tail, as far as this role may see it. */
export function holderText({ pid, gid, user, application, state, since, query }: FloorHolder): string {
  const who = pid === null ? `the prepared transaction "${gid ?? 'unknown'}"` : `process ${pid}`;
  const parts = [
    user && `user ${user}`,
    application && `application ${application}`,
    state,
    since && `since ${since}`,
    query && `last statement: ${query.replace(/\s+/g, ' ').slice(0, 200)}`,
  ];
  return [who, ...parts.filter((part) => part)].join(', ');
}
