import { Command, CommanderError, Option } from 'commander';
import { KernelError, translate } from '#libs/database';
import { configFlags, version } from '#libs/kernel';
import { EXIT, exitCodes } from './exit-codes.ts';
import { endQuietlyWhenNobodyReads, say } from './output.ts';

/** Options that every command has. */
export interface GlobalOptions {
  databaseUrl?: string;
  dataDir?: string;
  plugins?: string;
  json?: boolean;
}

/** What a command needs beside its options. It may return its exit code. */
export interface Context {
  /** Aborted by Ctrl-C; a command that looks at it ends in good order. */
  readonly interrupted: AbortSignal;
}

/** Runs the command that the arguments name, and ends the process with its exit code (CONTRIBUTING lists them). */
export async function run(argv: readonly string[]): Promise<void> {
  endQuietlyWhenNobodyReads();
  let exitCode: number = EXIT.done;
  try {
    await program((code) => {
      exitCode = code;
    }).parseAsync(argv);
  } catch (error) {
    exitCode = report(error);
  }
  process.exit(exitCode);
}

/** Says what went wrong, in a sentence where it is foreseen, and returns the exit code for it. */
function report(thrown: unknown): number {
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.done : EXIT.usage;
  const error = translate(thrown);
  if (error instanceof KernelError) {
    say(`tidemark: ${error.message}`);
    return exitCodes[error.code];
  }
  say(`tidemark: internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return EXIT.internal;
}

// biome-ignore lint/suspicious/noExplicitAny: commander hands over arguments, options and the command, by position
type Handler = (context: Context, ...given: any[]) => Promise<unknown>;

function program(exit: (code: number) => void): Command {
  const tidemark = new Command('tidemark')
    .description('A journaled PostgreSQL: serve it, fill it, look into it.')
    .version(version)
    .addOption(flag('DATABASE_URL', '<url>'))
    .addOption(flag('TIDEMARK_DATA_DIR', '<folder>'))
    .addOption(flag('TIDEMARK_PLUGINS', '<modules>'))
    .option('--json', 'print one JSON document, or JSON lines')
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(--help says more)')
    .exitOverride();
  const does = (load: () => Promise<Handler>) => action(load, exit);
  addServer(tidemark, does);
  addHistories(tidemark, does);
  addReaders(tidemark, does);
  addOperations(tidemark, does);
  addChecks(tidemark, does);
  addEffects(tidemark, does);
  addEpoch(tidemark, does);
  addTokens(tidemark, does);
  addUsers(tidemark, does);
  return tidemark;
}

type Does = (load: () => Promise<Handler>) => (...given: unknown[]) => Promise<void>;

function addServer(tidemark: Command, does: Does): void {
  const serve = tidemark.command('serve').description('start a server');
  for (const { variable } of configFlags) {
    if (!['DATABASE_URL', 'TIDEMARK_DATA_DIR', 'TIDEMARK_PLUGINS'].includes(variable))
      serve.addOption(flag(variable, '<value>'));
  }
  serve.action(does(async () => (await import('./commands/serve.ts')).serve));
  tidemark
    .command('migrate')
    .description('bring the database to this version')
    .option('--status', 'only say what is pending: 1 when something is')
    .action(does(async () => (await import('./commands/migrate.ts')).migrate));
  const db = tidemark.command('db').description('the embedded database');
  db.command('stop')
    .description('stop the embedded database')
    .option('--force', 'also while others use it')
    .action(does(async () => (await import('./commands/db-stop.ts')).dbStop));
}

function addHistories(tidemark: Command, does: Does): void {
  const imports = tidemark.command('import').description('bring histories in');
  imports
    .command('git <repository>')
    .description(
      'import the first-parent history of a git repository into the wiki, or go on where the last import ended',
    )
    .option('--path <folder>', 'only what is below this folder of the repository', '')
    .option('--rev <revision>', 'the branch or commit to import up to', 'HEAD')
    .action(does(async () => (await import('./commands/import-git.ts')).importGitCommand));
  const exports = tidemark.command('export').description('write files');
  exports
    .command('wiki')
    .description('write every page as a file')
    .requiredOption('--dir <folder>', 'where to: a new or empty folder')
    .option('--as-of <tid or time>', 'as of a tid or an RFC 3339 time')
    .action(does(async () => (await import('./commands/export-wiki.ts')).exportWiki));
}

function addReaders(tidemark: Command, does: Does): void {
  tidemark
    .command('show <resource> <id>')
    .description('print one row; a wiki page by its name or id')
    .option('--as-of <tid or time>', 'as of a tid or an RFC 3339 time')
    .action(does(async () => (await import('./commands/show.ts')).show));
  tidemark
    .command('history <resource> <id>')
    .description('print the changes of one row, newest first')
    .option('--limit <n>', 'at most so many', wholeNumber, 50)
    .action(does(async () => (await import('./commands/history.ts')).history));
  tidemark
    .command('tail')
    .description('print changes, oldest first: those there are, or with --follow those to come')
    .option('--after <cursor>', 'after this cursor, or "now" (default: the beginning; with --follow: now)')
    .option('--follow', 'go on until interrupted')
    .option('--resource <name>', 'of this resource only')
    .action(does(async () => (await import('./commands/tail.ts')).tail));
}

function addOperations(tidemark: Command, does: Does): void {
  tidemark
    .command('status')
    .description('say where the journal stands, and who holds the tail')
    .action(does(async () => (await import('./commands/status.ts')).status));
  tidemark
    .command('rebuild <projection>')
    .description(
      'make a projection anew beside its tables, while servers write, and swap them; goes on with one that was interrupted',
    )
    .option('--anew', 'begin from the beginning all the same')
    .action(does(async () => (await import('./commands/rebuild.ts')).rebuildCommand));
  tidemark
    .command('doctor')
    .description('look for what would break a promise: 1 when something is found')
    .action(does(async () => (await import('./commands/doctor.ts')).doctor));
}

function addChecks(tidemark: Command, does: Does): void {
  tidemark
    .command('verify')
    .description('compare rows, journal and projections: 1 and a line of JSON for each difference')
    .option('--resource <name>', 'this resource only')
    .option('--projection <name>', 'this projection only')
    .action(does(async () => (await import('./commands/verify.ts')).verify));
  tidemark
    .command('repair')
    .description('show what is different and what would be done about it, or do it: 1 when something is left')
    .option('--finding <number>', 'what this finding is about', wholeNumber)
    .option('--resource <name>', 'rows of this resource')
    .option('--id <id>', 'this row of it')
    .option('--projection <name>', 'this projection')
    .addOption(
      new Option(
        '--accept <side>',
        'where a row and its journal differ: journal the row as it is, or write it back',
      ).choices(['model', 'journal']),
    )
    .option('--reason <text>', 'why: the comment of the change')
    .option('--apply', 'do it')
    .action(does(async () => (await import('./commands/repair.ts')).repair));
}

function addTokens(tidemark: Command, does: Does): void {
  tidemark
    .command('permissions')
    .description('print who may do what: each resource and action, and the roles that may')
    .action(does(async () => (await import('./commands/permissions.ts')).permissions));
  const token = tidemark.command('token').description('access tokens');
  token
    .command('create')
    .description('make a token and print it, this once')
    .requiredOption('--user <name>', 'whom it stands for')
    .option('--role <role>', 'the most that it lends of what its user may do; makes the user if need be', several, [])
    .option('--expires <time>', 'an RFC 3339 time, or from now: 12h, 30d')
    .action(does(async () => (await import('./commands/token.ts')).tokenCreate));
  token
    .command('list')
    .description('list all tokens')
    .option('--user <name>', 'of this user only')
    .action(does(async () => (await import('./commands/token.ts')).tokenList));
  token
    .command('revoke <token>')
    .description('end a token, named by its id or prefix')
    .action(does(async () => (await import('./commands/token.ts')).tokenRevoke));
}

function addUsers(tidemark: Command, does: Does): void {
  const user = tidemark.command('user').description('users and their roles');
  user
    .command('list')
    .description('list all users')
    .action(does(async () => (await import('./commands/user.ts')).userList));
  user
    .command('add <name>')
    .description('add a user')
    .option('--email <address>', 'where mail for the user goes')
    .option('--role <role>', 'a role that counts everywhere; can be repeated', several, [])
    .action(does(async () => (await import('./commands/user.ts')).userAdd));
  user
    .command('email <name> [address]')
    .description('say where mail for a user goes; nowhere without an address')
    .action(does(async () => (await import('./commands/user.ts')).userEmail));
  user
    .command('grant <name> <role>')
    .description('give a user a role')
    .option('--project <id>', 'in this project only, where it counts instead of those of everywhere')
    .action(does(async () => (await import('./commands/user.ts')).userGrant));
  user
    .command('revoke <name> <role>')
    .description('take a role away from a user')
    .option('--project <id>', 'in this project only')
    .action(does(async () => (await import('./commands/user.ts')).userRevoke));
  user
    .command('disable <name>')
    .description('refuse the tokens of a user from now on')
    .action(does(async () => (await import('./commands/user.ts')).userDisable));
  user
    .command('enable <name>')
    .description('accept the tokens of a user again')
    .action(does(async () => (await import('./commands/user.ts')).userEnable));
}

function several(value: string, before: string[]): string[] {
  return [...before, value];
}

function addEffects(tidemark: Command, does: Does): void {
  const load = () => import('./commands/effects.ts');
  const effects = tidemark.command('effects').description('side effects, as the ledger has them');
  const filtered = (command: Command) =>
    command
      .option('--listener <name>', 'of this listener only')
      .option('--state <state>', 'pending, failed, parked, done or discarded')
      .option('--older-than <seconds>', 'entered so long ago', wholeNumber)
      .option('--tid <tid>', 'of the changes of this tid only', wholeNumber)
      .option('--resource <name>', 'of changes of this resource only')
      .option('--id <id>', 'of changes of rows with this id only');
  filtered(effects.command('list').description('list effects, those of the latest changes first'))
    .option('--limit <n>', 'at most so many', wholeNumber, 50)
    .action(does(async () => (await load()).effectsList));
  effects
    .command('show <key>')
    .description('tell what is known of one effect')
    .action(does(async () => (await load()).effectsShow));
  filtered(
    effects.command('retry [key]').description('try a parked or failed effect, or all that match, again now'),
  ).action(does(async () => (await load()).effectsRetry));
  filtered(
    effects.command('discard [key]').description('give up an effect that is not done, or all that match'),
  ).action(does(async () => (await load()).effectsDiscard));
  addListeners(tidemark, does);
}

function addListeners(tidemark: Command, does: Does): void {
  const load = () => import('./commands/listeners.ts');
  const listeners = tidemark.command('listeners').description('listeners with side effects');
  listeners
    .command('list')
    .description('list them, where they stand and what they have to do')
    .action(does(async () => (await load()).listenersList));
  listeners
    .command('pause <name>')
    .description('begin no more effects of a listener, in any process')
    .action(does(async () => (await load()).listenersPause));
  listeners
    .command('resume <name>')
    .description('go on with them')
    .action(does(async () => (await load()).listenersResume));
  listeners
    .command('reset <name>')
    .description('set its position; what is in the ledger is never repeated')
    .requiredOption('--to <place>', 'head, beginning or a tid')
    .option('--yes', 'really')
    .action(does(async () => (await load()).listenersReset));
  listeners
    .command('remove <name>')
    .description('forget one that no process has any more; what it has not done is given up')
    .option('--yes', 'really')
    .action(does(async () => (await load()).listenersRemove));
}

function addEpoch(tidemark: Command, does: Does): void {
  const epoch = tidemark
    .command('epoch')
    .description("the name of this database's journal in cursors")
    .action(does(async () => (await import('./commands/epoch.ts')).epochShow));
  const force = ['--force', 'also while servers are at work, which are to be restarted then'] as const;
  epoch
    .command('renew')
    .description('refuse every cursor given out before: this database was set back, or is a copy of files')
    .option(...force)
    .action(does(async () => (await import('./commands/epoch.ts')).epochRenew));
  epoch
    .command('keep')
    .description('go on with the cursors of the database that this one is a whole copy of')
    .option(...force)
    .action(does(async () => (await import('./commands/epoch.ts')).epochKeep));
}

/** Loads a command when it is called, so that no command pays for another one's libraries. */
function action(load: () => Promise<Handler>, exit: (code: number) => void): (...given: unknown[]) => Promise<void> {
  return async (...given) => {
    const command = given.pop() as Command;
    given.pop();
    const interruption = new AbortController();
    let interrupted = 0;
    process.on('SIGINT', () => {
      // npm may send one Ctrl-C twice; a second one that comes later is from somebody who does not want to wait
      if (interrupted > 0 && performance.now() - interrupted > 500) process.exit(EXIT.interrupted);
      interrupted ||= performance.now();
      interruption.abort();
    });
    const code = await (await load())({ interrupted: interruption.signal }, ...given, command.optsWithGlobals());
    exit(typeof code === 'number' ? code : interruption.signal.aborted ? EXIT.interrupted : EXIT.done);
  };
}

/** A setting as an option. Its value is read, and refused, by the configuration. */
function flag(variable: string, value: string): Option {
  const setting = configFlags.find((known) => known.variable === variable);
  if (setting === undefined) throw new Error(`no setting ${variable}`);
  return new Option(`--${setting.flag} ${value}`, `${setting.sentence} (${variable})`);
}

function wholeNumber(text: string): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (number === 0) throw new KernelError('invalid', `${text} is not a whole number above 0`);
  return number;
}
