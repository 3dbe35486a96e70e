import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { authenticate, createToken, ensureAdminToken, findToken, listTokens, revokeToken } from '#libs/access';
import { Database } from '#libs/database';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

let test: TestDatabase;
let db: Database;
let owner: Database;

beforeAll(async () => {
  test = await testDatabase();
  db = Database.open({ url: test.url });
  owner = Database.open({ url: test.ownerUrl });
});

afterAll(async () => {
  await db.close();
  await owner.close();
  await test.drop();
});

describe('a token', () => {
  it('stands for its user and roles', async () => {
    const { token, prefix } = await createToken(db, { user: 'ann', roles: ['admin', 'editor'] });
    expect(token).toMatch(/^tdm_[\w-]{43}$/);
    expect(token.startsWith(prefix)).toBe(true);
    expect(await findToken(db, token)).toEqual({ user: 'ann', roles: ['admin', 'editor'] });
    expect(await authenticate(db, {}, token)).toEqual({ user: 'ann', roles: ['admin', 'editor'] });
  });

  it('is stored as its hash only', async () => {
    const { token, id } = await createToken(db, { user: 'ben' });
    const { rows } = await db.query('SELECT to_jsonb(t)::text AS text FROM tidemark.tokens t WHERE id = $1', [id]);
    expect(String(rows[0]?.['text'])).not.toContain(token.slice(12));
    expect(JSON.stringify(await listTokens(db))).not.toContain(token.slice(12));
  });

  it('is nobody when it is unknown, cut, or no token at all', async () => {
    const { token } = await createToken(db, { user: 'cat' });
    const wrong = ['', 'tdm_', token.slice(0, -1), `${token}x`, `tdm_${'A'.repeat(43)}`, '\0', token.toUpperCase()];
    for (const text of wrong) {
      expect(await findToken(db, text)).toBeUndefined();
      expect(await authenticate(db, { adminToken: 'open-sesame' }, text)).toBeUndefined();
    }
  });

  it('is nobody after it has expired', async () => {
    const { token } = await createToken(db, { user: 'dan', expires: new Date(Date.now() + 400) });
    expect(await authenticate(db, {}, token)).toBeDefined();
    await waitUntil(async () => (await authenticate(db, {}, token)) === undefined, 'the token has expired', 3_000);
    expect(await findToken(db, token)).toBeUndefined();
  });

  it('is nobody after it is revoked, within ten seconds in a process that knew it', async () => {
    const { token, prefix } = await createToken(db, { user: 'eve' });
    expect(await authenticate(db, {}, token)).toBeDefined();
    await revokeToken(owner, prefix);
    expect(await findToken(db, token)).toBeUndefined();
    await waitUntil(async () => (await authenticate(db, {}, token)) === undefined, 'the revocation is honoured');
  });

  it('is revoked by id, too, and twice does no harm', async () => {
    const { id } = await createToken(db, { user: 'fay' });
    const { revoked } = await revokeToken(db, id);
    expect(revoked).toBeInstanceOf(Date);
    expect((await revokeToken(db, String(id))).revoked).toEqual(revoked);
  });

  it('that does not exist cannot be revoked', async () => {
    await expect(revokeToken(db, 'tdm_nosuch')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('notes when it was used, at most once a minute', async () => {
    const { token, id } = await createToken(db, { user: 'gil' });
    const used = async () => (await listTokens(db)).find((other) => other.id === id)?.last_used;
    expect(await used()).toBeNull();
    await findToken(db, token);
    const first = await used();
    expect(first).toBeInstanceOf(Date);
    await findToken(db, token);
    expect(await used()).toEqual(first);
    await owner.query(`UPDATE tidemark.tokens SET last_used = now() - interval '61 s' WHERE id = $1`, [id]);
    await findToken(db, token);
    expect(await used()).not.toEqual(first);
  });

  it('is found while another session holds its row', async () => {
    const { token, id } = await createToken(db, { user: 'hal' });
    const session = await owner.connect();
    await session.query('BEGIN');
    await session.query('SELECT 1 FROM tidemark.tokens WHERE id = $1 FOR UPDATE', [id]);
    expect(await findToken(db, token)).toEqual({ user: 'hal', roles: [] });
    await session.query('ROLLBACK');
    session.release();
  });

  it.each([
    [{ user: '' }],
    [{ user: 'a\nb' }],
    [{ user: ' joe' }],
    [{ user: 'joe', roles: ['Ad min'] }],
    [{ user: 'joe', expires: new Date(0) }],
    [{ user: 'joe', expires: new Date(Number.NaN) }],
  ])('is not made from %j', async (input) => {
    await expect(createToken(db, input)).rejects.toMatchObject({ code: 'invalid' });
  });

  it.each([
    ['DELETE FROM tidemark.tokens'],
    [`UPDATE tidemark.tokens SET user_name = 'admin'`],
    [`UPDATE tidemark.tokens SET roles = '{admin}'`],
    ['UPDATE tidemark.tokens SET expires = NULL'],
    ['TRUNCATE tidemark.tokens'],
  ])("is out of reach of the program's role: %s", async (statement) => {
    await expect(db.query(statement)).rejects.toMatchObject({ code: '42501' });
  });
});

describe('the configured admin token', () => {
  it('is accepted as admin and stored nowhere', async () => {
    const before = (await listTokens(db)).length;
    expect(await authenticate(db, { adminToken: 'open-sesame' }, 'open-sesame')).toEqual({
      user: 'admin',
      roles: ['admin'],
    });
    expect(await authenticate(db, { adminToken: 'open-sesame' }, 'open-sesam')).toBeUndefined();
    expect(await authenticate(db, {}, 'open-sesame')).toBeUndefined();
    expect(await listTokens(db)).toHaveLength(before);
  });
});

describe('the first admin token', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-token-'));
  });

  afterAll(() => rm(folder, { recursive: true }));

  it('is made once, however many processes start, and kept in a file of mode 600', async () => {
    // a crash may have left half a file, readable to all
    await writeFile(join(folder, 'admin-token'), 'tdm_ha', { mode: 0o644 });
    const made = await Promise.all(Array.from({ length: 5 }, () => ensureAdminToken(db, folder)));
    expect(made.filter(({ created }) => created)).toHaveLength(1);
    expect(new Set(made.map(({ token }) => token)).size).toBe(1);
    const file = join(folder, 'admin-token');
    expect(((await stat(file)).mode & 0o777).toString(8)).toBe('600');
    const token = (await readFile(file, 'utf8')).trim();
    expect(await findToken(db, token)).toEqual({ user: 'admin', roles: ['admin'] });
  });

  it('is not made again when its file is gone', async () => {
    await rm(join(folder, 'admin-token'));
    expect(await ensureAdminToken(db, folder)).toEqual({ token: undefined, created: false });
  });

  it('is that of the file when the process that wrote it died before storing it', async () => {
    const other = await testDatabase();
    const empty = Database.open({ url: other.url });
    const text = `tdm_${'x'.repeat(43)}`;
    await writeFile(join(folder, 'admin-token'), `${text}\n`, { mode: 0o600 });
    expect(await ensureAdminToken(empty, folder)).toEqual({ token: text, created: true });
    expect(await findToken(empty, text)).toEqual({ user: 'admin', roles: ['admin'] });
    await empty.close();
    await other.drop();
  });

  it('that cannot be written stores nothing', async () => {
    const other = await testDatabase();
    const empty = Database.open({ url: other.url });
    await expect(ensureAdminToken(empty, join(folder, 'nowhere'))).rejects.toMatchObject({
      code: 'configuration',
    });
    expect(await listTokens(empty)).toEqual([]);
    await empty.close();
    await other.drop();
  });
});
