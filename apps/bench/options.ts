import { parseArgs } from 'node:util';

/** What the command line asks for. `databaseUrl` undefined: the embedded server, in a folder of its own. */
export interface Options {
  readonly scenarios: readonly string[];
  readonly quick: boolean;
  readonly databaseUrl: string | undefined;
  readonly repository: string | undefined;
  readonly path: string | undefined;
  readonly seconds: number | undefined;
  readonly runs: number | undefined;
  readonly json: string | undefined;
  readonly help: boolean;
}

export const usage = `npm run bench -- <scenario …> [options]

  --quick             a look in seconds: shorter, fewer runs, figures that scatter more
  --runs N            alternating runs per figure
  --seconds N         length of one measured phase (latency: how long the unrelated transaction stays open)
  --repository PATH   import: the git repository or bundle to import
  --path DIR          import: the folder in it that holds the pages
  --database-url URL  a PostgreSQL server to use (a role that may create databases); default DATABASE_URL, else embedded
  --json FILE         also write everything measured to FILE`;

/** Reads the command line; an Error with a sentence when it cannot be understood. */
export function readOptions(args: readonly string[], environmentUrl: string | undefined): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      runs: { type: 'string' },
      seconds: { type: 'string' },
      repository: { type: 'string' },
      path: { type: 'string' },
      'database-url': { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  return {
    scenarios: positionals,
    quick: values.quick,
    databaseUrl: values['database-url'] ?? environmentUrl,
    repository: values.repository,
    path: values.path,
    seconds: positive('seconds', values.seconds),
    runs: positive('runs', values.runs),
    json: values.json,
    help: values.help,
  };
}

function positive(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(value >= 1)) throw new Error(`--${name} is "${text}", which is not a number from 1`);
  return value;
}
