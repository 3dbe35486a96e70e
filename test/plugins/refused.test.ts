import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import { command } from '../cli/command.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { addFile, pluginFolder, removeFolder } from './plugin-process.ts';

let test: TestDatabase;
let owner: Database;
let folder: string;

beforeAll(async () => {
  test = await testDatabase();
  owner = Database.open({ url: test.ownerUrl, poolSize: 2 });
});

afterAll(async () => {
  await owner.close();
  // fails when a refused start has left connections open
  await test.drop();
});

beforeEach(() => {
  folder = pluginFolder({});
});

afterEach(() => removeFolder(folder));

const plugin = (body: string) => `import { definePlugin, defineResource } from 'tidemark';\nexport default ${body};\n`;
const named = (name: string, rest = '') => plugin(`definePlugin({ name: '${name}', ${rest} })`);

/** What a command says that is refused with exit status 2. */
async function refusal(args: readonly string[], env: Record<string, string>): Promise<string> {
  const database = { DATABASE_URL: test.url, DATABASE_OWNER_URL: test.ownerUrl };
  const { end, stdout, stderr } = await command(args, { ...database, ...env }, folder);
  expect({ end, stdout }).toEqual({ end: 2, stdout: expect.not.stringContaining('ready') });
  expect(stderr).not.toContain('    at ');
  return stderr.trim();
}

/** What the database holds that was not there before. */
async function leftovers(): Promise<string[]> {
  const { rows } = await owner.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relname ~ '^(thing|migration_plugin)'
     UNION ALL SELECT 'process' FROM tidemark.processes
     UNION ALL SELECT 'listener ' || listener FROM tidemark.listener_positions
     UNION ALL SELECT 'migration ' || name FROM tidemark.migration WHERE name ~ 'thing'`,
  );
  return rows.map(({ name }) => name);
}

const BEFORE_THE_DATABASE: [what: string, file: string, sentence: string | RegExp, env?: Record<string, string>][] = [
  ['a syntax error', 'export default {', /^tidemark: plugin \.\/p\.js: it cannot be loaded: Unexpected end of input/],
  [
    'an error while it is loaded',
    `import 'node:fs'; throw new Error('no coffee');`,
    /^tidemark: plugin \.\/p\.js: it cannot be loaded: no coffee \(\/.*\/p\.js:1\)$/,
  ],
  [
    'an import of what is not there',
    `import 'coffee-machine';`,
    /it cannot be loaded: Cannot find package 'coffee-machine'/,
  ],
  [
    'an import past the door of the package',
    `import { pool } from 'tidemark/dist/libs/database/index.js';`,
    /it cannot be loaded: Package subpath '\.\/dist\/libs\/database\/index\.js' is not defined/,
  ],
  ['no default export', 'export const plugin = 1;', 'plugin ./p.js: it has no default export'],
  ['a default export that is no plugin', `export default { name: 'x' };`, 'its default export is something else'],
  ['a part that is not known', named('p', 'listener: []'), 'listener is no part of a plugin. Did you mean listeners?'],
  ['a part that there is not', named('p', 'cheques: []'), 'cheques is no part of a plugin. Did you mean checks?'],
  ['checks that are no list', named('p', "checks: 'all'"), 'checks is "all": it has to be an array.'],
  [
    'a check that finds nothing',
    named('p', `checks: [{ name: 'x', resource: 'y' }]`),
    'the check x has no find(db, look).',
  ],
  [
    'a check of nothing',
    named('p', `checks: [{ name: 'x', find() {} }]`),
    'the check x does not say what it is about.',
  ],
  [
    'two checks of one name',
    named('p', `checks: [1, 2].map(() => ({ name: 'x', resource: 'y', find() {} }))`),
    'two checks are called x.',
  ],
  [
    'a rule that judges nothing',
    named('p', `consistencyRules: [{ name: 'x' }]`),
    'the rule x has no judge(entity, tasks).',
  ],
  [
    'two rules of one name',
    named('p', `consistencyRules: [1, 2].map(() => ({ name: 'x', judge() {} }))`),
    'two consistencyRules are called x.',
  ],
  ['projections that are no list', named('p', "projections: 'all'"), 'projections is "all": it has to be an array.'],
  ['a name that is none', named('My Plugin'), 'name is "My Plugin"'],
  [
    'a listener without a handler',
    named('p', `listeners: [{ name: 'x', onChange() {} }]`),
    'the listener x has none of',
  ],
  ['a folder that depends on where one stands', named('p', `migrations: 'migrations'`), 'migrations is "migrations"'],
  [
    'a setting that is missing',
    named('p', `config: { roomName: { sentence: 'where to talk', read: String } }`),
    'tidemark: plugin p: TIDEMARK_PLUGIN_P_ROOM_NAME is missing: where to talk.',
  ],
  [
    'a setting that cannot be read',
    named('p', `config: { room: { sentence: 'x', read() { throw new Error('no such room') } } }`),
    'tidemark: plugin p: TIDEMARK_PLUGIN_P_ROOM cannot be used: no such room',
    { TIDEMARK_PLUGIN_P_ROOM: 'kitchen' },
  ],
  [
    'a setting that is no number',
    named('p', `config: { size: { sentence: 'how many', read: Number } }`),
    'tidemark: plugin p: TIDEMARK_PLUGIN_P_SIZE is not a number: how many.',
    { TIDEMARK_PLUGIN_P_SIZE: 'ten' },
  ],
  [
    'a setting that is misspelled',
    named('p', `config: { room: { sentence: 'x', fallback: 'a', read: String } }`),
    'TIDEMARK_PLUGIN_P_RROOM is no setting of the plugins p. Did you mean TIDEMARK_PLUGIN_P_ROOM?',
    { TIDEMARK_PLUGIN_P_RROOM: 'kitchen' },
  ],
  [
    'permissions of a resource that is there',
    named('p', `permissions: { ticket: { read: ['anyone', 'x'] } }`),
    'tidemark: plugin p: the permissions of ticket are fixed',
  ],
  [
    'permissions for a role that is none',
    named('p', `permissions: { thing: { read: ['boss', 'x'] } }`),
    'tidemark: plugin p: thing:read is for "boss"',
  ],
  [
    'permissions by which nobody could read its rows',
    named('p', `resources: [defineResource({ name: 'thing' })], permissions: { thing: { make: ['editor', 'x'] } }`),
    'tidemark: plugin p: its permissions of thing do not say who may read it.',
  ],
];

describe('a plugin is refused before the database is touched', () => {
  it.each(BEFORE_THE_DATABASE)('for %s', async (_what, file, sentence, env = {}) => {
    addFile(folder, 'p.js', file);
    const said = await refusal(['permissions'], { TIDEMARK_PLUGINS: './p.js', ...env });
    expect(said).toEqual(
      typeof sentence === 'string' ? expect.stringContaining(sentence) : expect.stringMatching(sentence),
    );
    expect(said).toContain('plugin');
  });

  it('when there is none', async () => {
    addFile(folder, 'plugins/p.js', named('p'));
    addFile(folder, 'empty/readme.txt', '');
    const said = (given: string) => refusal(['permissions'], { TIDEMARK_PLUGINS: given });
    expect(await said('./q.js')).toBe(`tidemark: plugin ./q.js: there is no file ${folder}/q.js`);
    expect(await said('chat')).toContain(`plugin chat: there is no such module in ${folder}`);
    expect(await said('plugins/p.js')).toContain('A path begins with "./": ./plugins/p.js');
    expect(await said('./empty')).toContain(`plugin ./empty: the folder ${folder}/empty has neither`);
  });

  it('when it shares its name, a resource, a table, permissions or a variable with another', async () => {
    const said = async (a: string, b: string) => {
      addFile(folder, 'a.js', a);
      addFile(folder, 'b.js', b);
      return refusal(['status'], { TIDEMARK_PLUGINS: './a.js, ./b.js' });
    };
    const owning = (name: string, ...resources: string[]) =>
      named(name, `resources: [${resources.map((one) => `defineResource(${one})`)}]`);
    expect(await said(named('twin'), named('twin'))).toBe(
      'tidemark: plugin twin: two plugins have this name: ./a.js and ./b.js.',
    );
    expect(await said(owning('one', `{ name: 'thing' }`), owning('two', `{ name: 'thing', table: 'other' }`))).toBe(
      'tidemark: plugin two: plugin one already has a resource thing.',
    );
    expect(await said(owning('one'), owning('two', `{ name: 'things', table: 'wiki' }`))).toBe(
      'tidemark: plugin two: Tidemark already has the table wiki for a resource.',
    );
    const permitting = (name: string) => named(name, `permissions: { thing: { read: ['viewer', 'x'] } }`);
    expect(await said(permitting('one'), permitting('two'))).toBe(
      'tidemark: plugin two: plugin one already has permissions of thing.',
    );
    const setting = `{ sentence: 'x', fallback: 'x', read: String }`;
    expect(
      await said(named('a', `config: { bRoom: ${setting} }`), named('a-b', `config: { room: ${setting} }`)),
    ).toContain('plugins a and a-b: both have the setting TIDEMARK_PLUGIN_A_B_ROOM.');
  });

  it('with its variables, when it is not loaded', async () => {
    expect(await refusal(['status'], { TIDEMARK_PLUGIN_CHAT_ROOM: 'lobby' })).toBe(
      'tidemark: TIDEMARK_PLUGIN_CHAT_ROOM belongs to no plugin: TIDEMARK_PLUGINS names none.',
    );
  });

  it('by every command that opens the database', async () => {
    addFile(folder, 'p.js', 'nonsense');
    for (const args of [['serve'], ['migrate'], ['tail'], ['doctor'], ['show', 'wiki', 'x'], ['import', 'git', '.']]) {
      expect(await refusal(args, { TIDEMARK_PLUGINS: './p.js' })).toContain('plugin ./p.js: it cannot be loaded');
    }
  });
});

describe('a server with a plugin does not start, and leaves nothing behind', () => {
  const migrated = (more = '') =>
    named(
      'p',
      `migrations: new URL('migrations/', import.meta.url), resources: [defineResource({ name: 'thing' })], ${more}`,
    );
  const serve = () => refusal(['serve', '--port', '0', '--log-level', 'silent'], { TIDEMARK_PLUGINS: './p.js' });
  const table = `CREATE TABLE thing (id int PRIMARY KEY); SELECT tidemark.journal_table('thing', row_version => true);
    GRANT SELECT, INSERT, UPDATE, DELETE ON thing TO tidemark_app;`;

  it('when a migration fails: those before it are undone with it', async () => {
    addFile(folder, 'p.js', migrated());
    addFile(folder, 'migrations/0001_thing.sql', table);
    addFile(folder, 'migrations/0002_broken.sql', 'SELECT 1 / 0');
    expect(await serve()).toBe('tidemark: plugin p: migration 0002_broken failed: division by zero');
    expect(await leftovers()).toEqual([]);
  });

  it('when there are no migrations where it says', async () => {
    addFile(folder, 'p.js', migrated());
    expect(await serve()).toContain('plugin p: no migrations can be read from');
    addFile(folder, 'migrations/first.sql', table);
    expect(await serve()).toContain('plugin p: there is no migration in');
    expect(await leftovers()).toEqual([]);
  });

  it('when its table is not journaled', async () => {
    addFile(folder, 'p.js', named('p', `resources: [defineResource({ name: 'thing' })]`));
    expect(await serve()).toContain('plugin p: table thing of the resource thing does not exist');
    expect(await leftovers()).toEqual([]);
  });

  it.each([
    ['throws', `() => { throw new Error('no coffee') }`, 'plugin p: its listeners cannot be made: no coffee'],
    ['rejects', `async () => { throw new Error('no tea') }`, 'plugin p: its listeners cannot be made: no tea'],
    ['gives something else', '() => 7', 'plugin p: listeners is 7: it has to be an array.'],
    [
      'gives two of one name',
      `() => [{ name: 'x', onPrimary() {} }, { name: 'x', onSecondary() {} }]`,
      'plugin p: two listeners are called x.',
    ],
  ])('when what makes its listeners %s', async (_what, listeners, sentence) => {
    addFile(folder, 'p.js', named('p', `listeners: ${listeners}`));
    addFile(folder, 'q.js', named('q', `listeners: [{ name: 'fine', onPrimary() {} }]`));
    expect(
      await refusal(['serve', '--port', '0', '--log-level', 'silent'], { TIDEMARK_PLUGINS: './q.js,./p.js' }),
    ).toBe(`tidemark: ${sentence}`);
    expect(await leftovers()).toEqual([]);
  });
});
