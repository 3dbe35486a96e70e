import { type FloorHolder, type ProcessStatus, tailStatus } from '#libs/dispatch';
import { type ListenerRow, listListeners } from '#libs/effects';
import { listProjections, type ProjectionRow } from '#libs/projection';
import { findTableProblems } from '../doctor.queries.ts';
import { type ReaderOptions, withReader } from '../open.ts';
import { counted, plain, print, printJson, table } from '../output.ts';
import type { Context } from '../program.ts';

/** A process says that it lives every two seconds; its effects are taken over after seven. */
const SILENT = 8_000;

/** `tidemark status`: head, safe, who holds the tail, the processes, and tables that need journal_table(). */
export async function status(_context: Context, options: ReaderOptions): Promise<void> {
  await withReader(options, async ({ db, projections: known }) => {
    const { head, safe, floorHolders, processes } = await tailStatus(db);
    const tables = await findTableProblems(db);
    const effects = await listListeners(db);
    const projections = await listProjections(db, known);
    if (options.json) {
      const journal = { head, safe, floor_holders: floorHolders, processes };
      return printJson({ ...journal, effects, projections, table_problems: tables });
    }
    await print(`head ${head}, safe ${safe}${head === safe ? '' : `: ${head - safe} tids are held back`}`);
    for (const holder of floorHolders) await print(`the tail is held at ${holder.floor} by ${holderText(holder)}`);
    const rows = processes.map(({ name, host, pid, version, position, started, seen }) => [
      name,
      `${host}:${pid}`,
      version,
      `at ${position}`,
      `since ${started}`,
      Date.now() - Date.parse(seen) > SILENT ? `not heard of since ${seen}` : '',
    ]);
    await print(rows.length === 0 ? 'no process is running' : table(rows));
    for (const listener of effects) await print(listenerText(listener, processes.length > 0));
    for (const projection of projections) await print(projectionText(projection, processes));
    for (const { relation, problem } of tables) await print(`table ${relation}: ${problem}`);
  });
}

/** A listener with effects: where it stands, and in lines below it what is to be done. One that no process has, though some run, was probably taken away. */
function listenerText({ listener, ...row }: ListenerRow, served: boolean): string {
  const { position, lag_rows, lag_ms, pending, failed, parked, processes, paused, last_error } = row;
  const lag = lag_rows > 0 && `${counted(lag_rows, 'change')} and ${Math.round(lag_ms)} ms behind`;
  const runs = processes > 0 && `in ${processes} process${processes === 1 ? '' : 'es'}`;
  const open = [
    pending > 0 && `${pending} pending`,
    failed > 0 && `${failed} failed`,
    parked > 0 && `${parked} parked`,
  ];
  const troubles = [
    paused && `paused: tidemark listeners resume ${listener}`,
    processes === 0 && served && `no process has it; if none will again: tidemark listeners remove ${listener}`,
    processes === 0 && !served && pending + failed > 0 && 'no process runs it',
    failed + parked > 0 &&
      `it fails of "${plain(last_error ?? '').slice(0, 200)}": tidemark effects list --listener ${listener}`,
    parked > 0 && `once mended: tidemark effects retry --listener ${listener}`,
  ];
  const known = (texts: (string | false)[]) => texts.filter((text) => text !== false);
  const first = [`listener ${listener} at ${position}`, ...known([runs, lag, ...open])].join(', ');
  return [first, ...known(troubles).map((trouble) => `  ${trouble}`)].join('\n');
}

/** A projection: what its rows reflect, and what keeps them from reflecting more. */
function projectionText(row: ProjectionRow, processes: readonly ProcessStatus[]): string {
  const { name, version, tid, lag_rows, lag_ms, owner, error, failed, rebuilding } = row;
  const process = processes.find(({ origin }) => origin === owner);
  const parts = [
    version === 0 ? `projection ${name} has not been made yet` : `projection ${name} (version ${version}) at ${tid}`,
    lag_rows > 0 && `${counted(lag_rows, 'change')} and ${Math.round(lag_ms)} ms behind`,
    process && `by ${process.host}:${process.pid}`,
    rebuilding !== null && `a rebuild has come to ${rebuilding}`,
  ];
  const trouble =
    error === null
      ? ''
      : `\n  it fails of "${plain(error).slice(0, 200)}" since ${failed}: tidemark verify --projection ${name}`;
  return `${parts.filter((part) => part).join(', ')}${trouble}`;
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
