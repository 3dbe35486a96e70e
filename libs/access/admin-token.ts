import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Database, KernelError, runInTransaction } from '#libs/database';
import { lockHasToken } from './tokens.queries.ts';
import { isTokenText, newTokenText, storeToken } from './tokens.ts';

/**
 * Gives a database its first token for the user `admin`, kept in `<folder>/admin-token` (mode 600), unless there ever was
 * one. Several processes may do this at once, and one that died half-way is continued. Returns the token's text while the
 * file has it, and whether it was made just now. KernelError `configuration` when the file cannot be written.
 */
export async function ensureAdminToken(
  database: Database,
  folder: string,
): Promise<{ token: string | undefined; created: boolean }> {
  const file = join(folder, 'admin-token');
  return runInTransaction(database, async (tx) => {
    const created = !(await lockHasToken(tx, 'admin'));
    let token = await readToken(file);
    if (created) {
      // the file first: a token in the table whose text nobody has would be the end of it
      token ??= await writeToken(file, newTokenText());
      await storeToken(tx, token, { user: 'admin', roles: ['admin'] });
    }
    return { token, created };
  });
}

// A token that this process may not read is not its to show; where it must be written, writing reports what is wrong.
async function readToken(file: string): Promise<string | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return isTokenText(text.trim()) ? text.trim() : undefined;
}

async function writeToken(file: string, token: string): Promise<string> {
  try {
    await rm(file, { force: true });
    await writeFile(file, `${token}\n`, { mode: 0o600, flag: 'wx', flush: true });
    return token;
  } catch (error) {
    throw new KernelError('configuration', `${file} cannot be written: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
