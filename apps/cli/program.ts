import { Command, CommanderError, Option } from 'commander';
import { KernelError, translate } from '#libs/database';
import { configFlags, version } from '#libs/kernel';
import { EXIT, exitCodes } from './exit-codes.ts';
import { endQuietlyWhenNobodyReads, say } from './output.ts';

/** Options that every command has. */
export interface GlobalOptions {
  databaseUrl?: string;
  dataDir?: string;
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
    .option('--json', 'print one JSON document, or JSON lines')
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(--help says more)')
    .exitOverride();
  const does = (load: () => Promise<Handler>) => action(load, exit);
  addServer(tidemark, does);
  addHistories(tidemark, does);
  addReaders(tidemark, does);
  addOperations(tidemark, does);
  return tidemark;
}

type Does = (load: () => Promise<Handler>) => (...given: unknown[]) => Promise<void>;

function addServer(tidemark: Command, does: Does): void {
  const serve = tidemark.command('serve').description('start a server');
  for (const { variable } of configFlags) {
    if (!['DATABASE_URL', 'TIDEMARK_DATA_DIR'].includes(variable)) serve.addOption(flag(variable, '<value>'));
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
    .command('doctor')
    .description('look for what would break a promise: 1 when something is found')
    .action(does(async () => (await import('./commands/doctor.ts')).doctor));
  const token = tidemark.command('token').description('access tokens');
  token
    .command('create')
    .description('make a token and print it, this once')
    .requiredOption('--user <name>', 'whom it stands for')
    .option(
      '--role <role>',
      'what the user may do; can be repeated',
      (role: string, before: string[]) => [...before, role],
      [],
    )
    .option('--expires <time>', 'an RFC 3339 time')
    .action(does(async () => (await import('./commands/token.ts')).tokenCreate));
  token
    .command('list')
    .description('list all tokens')
    .action(does(async () => (await import('./commands/token.ts')).tokenList));
  token
    .command('revoke <token>')
    .description('end a token, named by its id or prefix')
    .action(does(async () => (await import('./commands/token.ts')).tokenRevoke));
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
