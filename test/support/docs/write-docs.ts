import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCommand } from '../../cli/command.ts';
import { ownServer } from '../own-server.ts';
import { repositoryRoot } from '../repository-root.ts';
import { waitUntil } from '../wait-until.ts';
import { DOCUMENTS, withFiles } from './pasted-files.ts';
import { shapeOf, withRuns } from './shown-run.ts';

/** Runs work with a server over an empty database of its own. */
export async function withServer<T>(
  databaseUrl: string,
  work: (server: { url: string; token: string }) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-docs-'));
  const token = 'the-token-of-a-run';
  const env = { DATABASE_URL: databaseUrl, TIDEMARK_ADMIN_TOKEN: token };
  const server = startCommand(['serve', '--port', '0', '--log-level', 'error'], env, folder);
  try {
    await waitUntil(() => server.stdout().includes('ready on'), 'the server is ready', 60_000);
    return await work({ url: (/http:\/\/\S+/.exec(server.stdout()) as RegExpExecArray)[0], token });
  } finally {
    server.process.kill('SIGTERM');
    await server.ended;
    rmSync(folder, { recursive: true });
  }
}

/** Writes a document anew if it differs in more than what no two runs have in common. */
function write(document: string, text: string, same: (text: string) => string): void {
  const file = join(repositoryRoot(), document);
  if (same(readFileSync(file, 'utf8')) === same(text)) return;
  writeFileSync(file, text);
  process.stdout.write(`${document} is renewed\n`);
}

async function main(): Promise<void> {
  for (const document of DOCUMENTS) {
    write(document, withFiles(readFileSync(join(repositoryRoot(), document), 'utf8')), (text) => text);
  }
  const readme = readFileSync(join(repositoryRoot(), 'README.md'), 'utf8');
  const database = await ownServer();
  try {
    write('README.md', await withServer(database.url, (server) => withRuns(readme, server)), shapeOf);
  } finally {
    await database.stop();
  }
}

if (process.argv[1] === import.meta.filename) await main();
