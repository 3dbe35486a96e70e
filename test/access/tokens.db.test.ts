import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  addUser,
  authenticate,
  createToken,
  disableUser,
  ensureAdminToken,
  grantRole,
  type Identity,
  listTokens,
  revokeRole,
  revokeToken,
  verifyToken,
} from '#libs/access';
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

/** Who a token stands for, asked of the database. */
async function bearer(token: string): Promise<Identity> {
  return (await verifyToken(db, token)).identity;
}

/** Why a token is refused, as everybody is told who uses it. */
async function refusal(token: string, adminToken?: string): Promise<string> {
  const error = await authenticate(db, { adminToken }, token).catch((thrown) => thrown);
  expect(error).toMatchObject({ code: 'unauthenticated' });
  return error.message;
}

const refused = (token: string) =>
  refusal(token).then(
    () => true,
    () => false,
  );

describe('a token', () => {
  it('stands for its user and roles', async () => {
    const { token, prefix } = await createToken(db, { user: 'ann', roles: ['admin', 'editor'] });
    expect(token).toMatch(/^tdm_[\w-]{43}$/);
    expect(token.startsWith(prefix)).toBe(true);
    const ann = { user: 'ann', roles: ['editor', 'admin'], projects: new Map() };
    expect(await bearer(token)).toEqual(ann);
    expect(await authenticate(db, {}, token)).toEqual(ann);
  });

  it('is stored as its hash only', async () => {
    const { token, id } = await createToken(db, { user: 'ben', roles: ['viewer'] });
    const { rows } = await db.query('SELECT to_jsonb(t)::text AS text FROM tidemark.tokens t WHERE id = $1', [id]);
    expect(String(rows[0]?.['text'])).not.toContain(token.slice(12));
    expect(JSON.stringify(await listTokens(db))).not.toContain(token.slice(12));
  });

  it('is nobody when it is unknown, cut, or no token at all', async () => {
    const { token } = await createToken(db, { user: 'cat', roles: ['viewer'] });
    const wrong = ['', 'tdm_', token.slice(0, -1), `${token}x`, `tdm_${'A'.repeat(43)}`, '\0', token.toUpperCase()];
    for (const text of wrong) {
      expect(await refusal(text, 'open-sesame')).toMatch(/is not a token|is not known here/);
    }
  });

  it('is nobody after it has expired', async () => {
    const { token } = await createToken(db, { user: 'dan', roles: ['viewer'], expires: new Date(Date.now() + 400) });
    expect(await authenticate(db, {}, token)).toBeDefined();
    await waitUntil(() => refused(token), 'the token has expired');
    expect(await refusal(token)).toMatch(/^the token tdm_\S{8}… expired at 2\S+Z$/);
  });

  it('is nobody after it is revoked, within ten seconds in a process that knew it', async () => {
    const { token, prefix } = await createToken(db, { user: 'eve', roles: ['viewer'] });
    expect(await authenticate(db, {}, token)).toBeDefined();
    await revokeToken(owner, prefix);
    await expect(bearer(token)).rejects.toMatchObject({ code: 'unauthenticated' });
    await waitUntil(() => refused(token), 'the revocation is honoured');
    expect(await refusal(token)).toMatch(/^the token tdm_\S{8}… was revoked at 2\S+Z$/);
  });

  it('is revoked by id, too, and twice does no harm', async () => {
    const { id } = await createToken(db, { user: 'fay', roles: ['viewer'] });
    const { revoked } = await revokeToken(db, id);
    expect(revoked).toBeInstanceOf(Date);
    expect((await revokeToken(db, String(id))).revoked).toEqual(revoked);
  });

  it('that does not exist cannot be revoked', async () => {
    await expect(revokeToken(db, 'tdm_nosuch')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('notes when it was used, at most once a minute', async () => {
    const { token, id } = await createToken(db, { user: 'gil', roles: ['viewer'] });
    const used = async () => (await listTokens(db)).find((other) => other.id === id)?.last_used;
    expect(await used()).toBeNull();
    await bearer(token);
    const first = await used();
    expect(first).toBeInstanceOf(Date);
    await bearer(token);
    expect(await used()).toEqual(first);
    await owner.query(`UPDATE tidemark.tokens SET last_used = now() - interval '61 s' WHERE id = $1`, [id]);
    await bearer(token);
    expect(await used()).not.toEqual(first);
  });

  it('is found while another session holds its row', async () => {
    const { token, id } = await createToken(db, { user: 'hal', roles: ['viewer'] });
    const session = await owner.connect();
    await session.query('BEGIN');
    await session.query('SELECT 1 FROM tidemark.tokens WHERE id = $1 FOR UPDATE', [id]);
    expect(await bearer(token)).toMatchObject({ user: 'hal' });
    await session.query('ROLLBACK');
    session.release();
  });

  it.each([
    [{ user: '' }],
    [{ user: 'a\nb' }],
    [{ user: ' joe' }],
    [{ user: 'joe', roles: ['Ad min'] }],
    [{ user: 'joe', roles: ['writer'] }],
    [{ user: 'joe', roles: ['viewer'], expires: new Date(0) }],
    [{ user: 'joe', roles: ['viewer'], expires: new Date(Number.NaN) }],
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

describe('what a token lends', () => {
  it('without roles of its own is what its user has when it is used', async () => {
    await addUser(db, { name: 'ian' });
    const { token } = await createToken(db, { user: 'ian' });
    expect(await bearer(token)).toEqual({ user: 'ian', roles: [], projects: new Map() });
    await grantRole(db, { user: 'ian', role: 'editor' });
    await grantRole(db, { user: 'ian', role: 'coordinator', project: 'alpha' });
    expect(await bearer(token)).toEqual({
      user: 'ian',
      roles: ['editor'],
      projects: new Map([['alpha', ['coordinator']]]),
    });
    await revokeRole(db, { user: 'ian', role: 'editor' });
    expect((await bearer(token)).roles).toEqual([]);
  });

  it('is never more than the roles it was made with, nor more than its user has', async () => {
    await addUser(db, { name: 'jo', roles: ['coordinator'] });
    await grantRole(db, { user: 'jo', role: 'viewer', project: 'alpha' });
    const { token } = await createToken(db, { user: 'jo', roles: ['editor'] });
    expect(await bearer(token)).toMatchObject({ roles: ['editor'], projects: new Map([['alpha', ['viewer']]]) });
    await grantRole(db, { user: 'jo', role: 'viewer' });
    await revokeRole(db, { user: 'jo', role: 'coordinator' });
    expect((await bearer(token)).roles).toEqual(['viewer']);
    await grantRole(db, { user: 'jo', role: 'admin' });
    expect(await bearer(token)).toEqual({ user: 'jo', roles: ['viewer', 'editor'], projects: new Map() });
  });

  it('is nothing while its user is disabled', async () => {
    const { token } = await createToken(db, { user: 'kay', roles: ['editor'] });
    await disableUser(db, 'kay');
    expect(await refusal(token)).toMatch(/^the user of the token tdm_\S{8}… is disabled$/);
    await expect(createToken(db, { user: 'kay' })).rejects.toMatchObject({ code: 'conflict' });
    await disableUser(db, 'kay', false);
    expect(await authenticate(db, {}, token)).toMatchObject({ user: 'kay' });
    await disableUser(db, 'kay');
    await waitUntil(() => refused(token), 'the user is refused by a process that knew the token');
  });

  it('with a role above those of its user cannot be made', async () => {
    await addUser(db, { name: 'lou', roles: ['viewer'] });
    await grantRole(db, { user: 'lou', role: 'editor', project: 'alpha' });
    await createToken(db, { user: 'lou', roles: ['editor'] });
    await expect(createToken(db, { user: 'lou', roles: ['admin'] })).rejects.toMatchObject({
      code: 'forbidden',
      message: 'lou has the role editor: a token cannot lend the role admin',
    });
  });

  it('cannot be said of somebody unknown: roles make the user, without them it is refused', async () => {
    await expect(createToken(db, { user: 'max' })).rejects.toMatchObject({ code: 'not_found' });
    const { token } = await createToken(db, { user: 'max', roles: ['viewer'] });
    expect(await bearer(token)).toMatchObject({ user: 'max', roles: ['viewer'] });
  });
});

describe('the configured admin token', () => {
  it('is accepted as admin and stored nowhere', async () => {
    const before = (await listTokens(db)).length;
    expect(await authenticate(db, { adminToken: 'open-sesame' }, 'open-sesame')).toMatchObject({
      user: 'admin',
      roles: ['admin'],
    });
    expect(await refusal('open-sesam', 'open-sesame')).toMatch(/is not a token/);
    expect(await refusal('open-sesame')).toMatch(/is not a token/);
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
    expect(await bearer(token)).toMatchObject({ user: 'admin', roles: ['admin'] });
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
    expect((await verifyToken(empty, text)).identity).toMatchObject({ user: 'admin', roles: ['admin'] });
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
