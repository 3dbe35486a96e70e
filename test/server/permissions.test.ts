import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { addUser, createToken, type Permission, Permissions, ROLES } from '#libs/access';
import { table } from '../../apps/cli/output.ts';
import { permissionRows } from '../../apps/cli/permission-table.ts';
import { RECORD_ROUTES } from '../../apps/server/production/production.routes.ts';
import { command } from '../cli/command.ts';
import { repositoryRoot } from '../support/repository-root.ts';
import { type TestDatabase, testDatabase } from '../support/test-database.ts';
import { type Answer, type TestServer, testServer } from './server-fixture.ts';

type Ask = (method: string, path: string, body?: object) => Promise<Answer>;

let database: TestDatabase;
let server: TestServer;
let made = 0;
const authorizations = new Map<string, Record<string, string>>();
const permissions = new Permissions().list();
const nameOf = ({ resource, action }: Permission) => `${resource}:${action}`;

beforeAll(async () => {
  database = await testDatabase();
  server = await testServer(database.url);
  await addUser(server.database, { name: 'no role' });
  authorizations.set('no token', {});
  for (const who of ['no role', ...ROLES]) {
    const { token } = await createToken(server.database, { user: who, roles: who === 'no role' ? [] : [who] });
    authorizations.set(who, { authorization: `Bearer ${token}` });
  }
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

function fresh(): number {
  made += 1;
  return made;
}

/** A page of its own, made by an admin. */
async function page(): Promise<string> {
  fresh();
  await server.put(`Page${made}`, 'text');
  return `/wiki/Page${made}`;
}

async function readonlyPage(): Promise<string> {
  const path = await page();
  await server.send('PUT', path, { text: 'text', readonly: true });
  return path;
}

async function ticket(): Promise<string> {
  const { id } = await (await server.send('POST', '/tickets', { summary: 'broken' })).json();
  return `/tickets/${id}`;
}

/** A parked effect of a listener that no process has, as a path names it. */
async function effect(): Promise<string> {
  await server.database.query(
    `INSERT INTO tidemark.listener_positions (listener, tid) VALUES ('post', 0) ON CONFLICT DO NOTHING`,
  );
  const text = `INSERT INTO tidemark.effects (listener, tid, resource, id, state) VALUES ('post', $1, 'wiki', '1', 'parked')`;
  await server.database.query(text, [fresh()]);
  return encodeURIComponent(`${made}:wiki:1:post`);
}

async function webhook(): Promise<string> {
  const hook = { url: 'https://hooks.example.org/', filter: { resources: ['ticket_comment'] } };
  const { id } = await (await server.send('POST', '/webhooks', hook)).json();
  return `/webhooks/${id}`;
}

/** A record of a production as a path names it, made by an admin. */
async function record(path: string, fields: object): Promise<string> {
  const { id } = await (await server.send('POST', path, fields)).json();
  return `${path}/${id}`;
}

const project = () => record('/projects', { name: `Project${fresh()}` });
const projectId = async () => (await project()).slice(10);

const FIELDS: Record<string, () => Promise<object>> = {
  '/sequences': async () => ({ project_id: await projectId(), name: 'A' }),
  '/shots': async () => ({ project_id: await projectId(), name: 'A' }),
  '/assets': async () => ({ project_id: await projectId(), name: 'A' }),
  '/persons': async () => ({ name: 'Somebody' }),
  '/task-types': async () => ({ id: `type${fresh()}`, name: 'A type' }),
  '/task-statuses': async () => ({ id: `status${fresh()}`, name: 'A status' }),
};

const shotFields = () => (FIELDS['/shots'] as () => Promise<object>)();

/** A task at one status, and another one. */
async function task(): Promise<{ path: string; status: string }> {
  const made = async (path: string, fields: () => Promise<object>) =>
    (await record(path, await fields())).slice(path.length + 1);
  const fieldsOf = (path: string) => FIELDS[path] as () => Promise<object>;
  const [task_type, first, status] = [
    await made('/task-types', fieldsOf('/task-types')),
    await made('/task-statuses', fieldsOf('/task-statuses')),
    await made('/task-statuses', fieldsOf('/task-statuses')),
  ];
  const entity_id = await made('/shots', fieldsOf('/shots'));
  return { path: await record('/tasks', { entity_type: 'shot', entity_id, task_type, status: first }), status };
}

async function commented(): Promise<string> {
  const { path, status } = await task();
  await server.send('PUT', `${path}/status`, { status, comment: 'so' });
  return `${path}/comments/1`;
}

/** The requests of records that are made, read, changed and deleted alike. */
function recordRequests(name: string, path: string): Record<string, ((ask: Ask) => Promise<Answer>)[]> {
  const fields = () => (FIELDS[path] as () => Promise<object>)();
  const made = async () => record(path, await fields());
  return {
    [`${name}:read`]: [
      (ask) => ask('GET', path),
      async (ask) => ask('GET', await made()),
      async (ask) => ask('GET', `${await made()}/history`),
    ],
    [`${name}:create`]: [async (ask) => ask('POST', path, await fields())],
    [`${name}:modify`]: [async (ask) => ask('PUT', await made(), { name: 'Changed' })],
    [`${name}:delete`]: [async (ask) => ask('DELETE', await made())],
  };
}

/** What a check has found. */
async function finding(): Promise<string> {
  const { rows } = await server.database.query<{ id: number }>(
    `INSERT INTO tidemark.finding (key, check_name, resource, row_id, kind, place)
       VALUES ($1, 'drift', 'wiki', '1', 'missing', '1') RETURNING id`,
    [`key ${fresh()}`],
  );
  return `/findings/${rows[0]?.id}`;
}

/** For each permission a request that needs it, and whatever it is about. */
const REQUESTS: Record<string, ((ask: Ask) => Promise<Answer>)[]> = {
  'wiki:read': [
    async (ask) => ask('GET', await page()),
    async (ask) => ask('GET', `${await page()}?as_of=${new Date().toISOString()}`),
    async (ask) => ask('GET', `${await page()}?version=1`),
    async (ask) => ask('GET', `${await page()}/history`),
    (ask) => ask('GET', '/wiki'),
  ],
  'wiki:watch': [
    async (ask) => ask('PUT', `${await page()}/watch`),
    async (ask) => ask('DELETE', `${await page()}/watch`),
    (ask) => ask('GET', '/me/watches'),
  ],
  'wiki:create': [(ask) => ask('PUT', `/wiki/New${fresh()}`, { text: 'text' })],
  'wiki:modify': [async (ask) => ask('PUT', await page(), { text: 'changed' })],
  'wiki:rename': [async (ask) => ask('POST', `${await page()}/rename`, { to: `Renamed${made}` })],
  'wiki:delete': [async (ask) => ask('DELETE', await page())],
  'wiki:protect': [
    async (ask) => ask('PUT', await page(), { text: 'text', readonly: true }),
    (ask) => ask('PUT', `/wiki/New${fresh()}`, { text: 'text', readonly: true }),
    async (ask) => ask('PUT', await readonlyPage(), { text: 'text', readonly: false }),
    async (ask) => ask('PUT', await readonlyPage(), { text: 'changed' }),
    async (ask) => ask('POST', `${await readonlyPage()}/rename`, { to: `Renamed${made}` }),
    async (ask) => ask('DELETE', await readonlyPage()),
  ],
  'ticket:read': [
    (ask) => ask('GET', '/tickets'),
    async (ask) => ask('GET', await ticket()),
    async (ask) => ask('GET', `${await ticket()}/history`),
  ],
  'ticket:create': [(ask) => ask('POST', '/tickets', { summary: 'broken' })],
  'ticket:modify': [async (ask) => ask('PATCH', await ticket(), { summary: 'whole' })],
  'ticket:comment': [async (ask) => ask('PATCH', await ticket(), { comment: 'mine, too' })],
  'ticket:batch': [
    async (ask) => ask('POST', '/tickets/batch', { ids: [(await ticket()).slice(9)], set: { priority: 'high' } }),
  ],
  'ticket:delete': [async (ask) => ask('DELETE', await ticket())],
  'project:read': [
    (ask) => ask('GET', '/projects'),
    async (ask) => ask('GET', await project()),
    async (ask) => ask('GET', `${await project()}/progress`),
  ],
  'project:create': [(ask) => ask('POST', '/projects', { name: `Project${fresh()}` })],
  'project:modify': [async (ask) => ask('PUT', await project(), { max_retakes: 3 })],
  'project:delete': [async (ask) => ask('DELETE', await project())],
  ...recordRequests('sequence', '/sequences'),
  ...recordRequests('shot', '/shots'),
  ...recordRequests('asset', '/assets'),
  ...recordRequests('person', '/persons'),
  ...recordRequests('task_type', '/task-types'),
  ...recordRequests('task_status', '/task-statuses'),
  'task:read': [
    (ask) => ask('GET', '/tasks'),
    async (ask) => ask('GET', (await task()).path),
    async (ask) => ask('GET', `${(await task()).path}/comments`),
  ],
  'task:create': [
    async (ask) => {
      const { path } = await task();
      const { entity_type, entity_id, task_type, status } = await (await server.ask(path)).json();
      return ask('POST', '/tasks', { entity_type, entity_id, task_type, status, name: 'second' });
    },
  ],
  'task:modify': [async (ask) => ask('PUT', (await task()).path, { priority: 2 })],
  'task:status': [
    async (ask) => {
      const { path, status } = await task();
      return ask('PUT', `${path}/status`, { status });
    },
    async (ask) => {
      const { path, status } = await task();
      return ask('PUT', '/tasks/bulk/status', { updates: [{ task_id: path.slice(7), status }] });
    },
    async (ask) => ask('POST', `${(await task()).path}/comments`, { text: 'mine' }),
  ],
  'task:delete': [async (ask) => ask('DELETE', (await task()).path)],
  'task_comment:modify': [async (ask) => ask('PUT', await commented(), { text: 'other' })],
  'task_comment:delete': [async (ask) => ask('DELETE', await commented())],
  'consistency:read': [
    async (ask) =>
      ask('GET', `/data-consistency/validate/shot/${(await record('/shots', await shotFields())).slice(7)}`),
    (ask) => ask('POST', '/data-consistency/validate/bulk', { entities: [{ entity_type: 'shot', entity_id: '1' }] }),
    (ask) => ask('GET', '/data-consistency/report'),
    (ask) => ask('GET', '/data-consistency/health'),
    (ask) => ask('GET', '/data-consistency/propagations'),
    async (ask) => ask('POST', `/data-consistency/propagate/${(await task()).path.slice(7)}`, {}),
  ],
  'consistency:repair': [
    async (ask) => ask('POST', '/data-consistency/repair', { project_id: await projectId(), dry_run: false }),
  ],
  'project_rules:read': [async (ask) => ask('GET', `/data-consistency/rules?project_id=${await projectId()}`)],
  'project_rules:modify': [
    async (ask) => ask('PUT', `/data-consistency/rules?project_id=${await projectId()}`, { rules: [] }),
  ],
  'journal:read': [
    (ask) => ask('GET', '/journal'),
    (ask) => ask('HEAD', '/journal/stream'),
    async (ask) => ask('GET', `/journal/${(await server.put(`Tid${fresh()}`, 'text')).headers.get('tidemark-tid')}`),
  ],
  'user:own': [
    (ask) => ask('GET', '/me'),
    (ask) => ask('GET', '/me/notifications'),
    (ask) => ask('PUT', '/me/notifications', { mail: false }),
  ],
  'user:manage': [(ask) => ask('GET', '/users')],
  'token:own': [(ask) => ask('GET', '/tokens')],
  'token:manage': [(ask) => ask('GET', '/tokens?user=somebody')],
  'status:read': [(ask) => ask('GET', '/status')],
  'effect:read': [(ask) => ask('GET', '/effects'), async (ask) => ask('GET', `/effects/${await effect()}`)],
  'effect:manage': [
    (ask) => ask('POST', '/effects/retry', { listener: 'post' }),
    async (ask) => ask('POST', '/effects/discard', { key: decodeURIComponent(await effect()) }),
  ],
  'finding:read': [(ask) => ask('GET', '/findings'), async (ask) => ask('GET', await finding())],
  'listener:read': [(ask) => ask('GET', '/listeners')],
  'listener:manage': [
    (ask) => ask('POST', '/listeners/post/pause'),
    (ask) => ask('POST', '/listeners/post/resume'),
    (ask) => ask('POST', '/listeners/post/reset', { to: 'head' }),
    async (ask) => {
      await effect();
      return ask('DELETE', '/listeners/post');
    },
  ],
  'webhook:read': [
    (ask) => ask('GET', '/webhooks'),
    async (ask) => ask('GET', await webhook()),
    async (ask) => ask('GET', `${await webhook()}/history`),
  ],
  'webhook:manage': [
    (ask) => ask('POST', '/webhooks', { url: 'https://hooks.example.org/', filter: { resources: ['ticket_comment'] } }),
    async (ask) => ask('PATCH', await webhook(), { description: 'another' }),
    async (ask) => ask('POST', `${await webhook()}/rotate`, {}),
    async (ask) => ask('DELETE', await webhook()),
  ],
  'health:read': [(ask) => ask('GET', '/health/live'), (ask) => ask('GET', '/health/ready')],
  'metrics:read': [(ask) => ask('GET', '/metrics')],
};

/** What the routes of the server say that they need, and what is judged behind them or needs no token. */
function reachable(): Set<string> {
  const files = globSync('apps/server/**/*.controller.ts', { cwd: repositoryRoot() });
  const sources = files.map((file) => readFileSync(join(repositoryRoot(), file), 'utf8')).join();
  const named = [...sources.matchAll(/@Allow\(([^)]+)\)/g)].map(([, words]) => [
    ...String(words).matchAll(/'([^']+)'/g),
  ]);
  const allowed = named.flatMap(([resource, ...actions]) => actions.map((action) => `${resource?.[1]}:${action[1]}`));
  const behind = ['wiki:protect', 'token:manage', 'health:read'];
  if (allowed.includes('ticket:modify')) behind.push('ticket:comment');
  if (sources.includes("@Controller('metrics')")) behind.push('metrics:read');
  // the routes of records are made from their table
  for (const { kind, changing = 'modify' } of RECORD_ROUTES) {
    behind.push(...['read', 'create', 'modify', 'delete', changing].map((action) => `${kind.name}:${action}`));
  }
  return new Set([...allowed, ...behind]);
}

async function outcome(who: string, request: (ask: Ask) => Promise<Answer>): Promise<string> {
  const answer = await request((method, path, body) => {
    const headers = { ...authorizations.get(who), ...(body ? { 'content-type': 'application/json' } : {}) };
    return fetch(server.url + path, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  });
  if (answer.status >= 200 && answer.status < 300) return 'yes';
  return `${answer.status} ${answer.headers.get('www-authenticate')?.split(' ')[0] ?? ''}`.trim();
}

it('every permission that a route needs has a request here', () => {
  expect([...reachable()].filter((name) => REQUESTS[name] === undefined)).toEqual([]);
  const cells = permissions.map(nameOf);
  expect([...reachable()].filter((name) => !cells.includes(name))).toEqual([]);
});

it.each(permissions.filter((permission) => reachable().has(nameOf(permission))).map((cell) => [nameOf(cell), cell]))(
  'the server gives %s to whom the table says, and to nobody else',
  async (name, cell) => {
    const { anyone, user, roles } = cell as Permission;
    for (const [n, request] of (REQUESTS[name as string] ?? []).entries()) {
      const found: Record<string, string> = {};
      for (const who of authorizations.keys()) found[who] = await outcome(who, request);
      const told = (may: boolean) => (may ? 'yes' : '403');
      expect({ n, ...found }).toEqual({
        ...{ n, 'no token': anyone ? 'yes' : '401 Bearer', 'no role': told(user) },
        ...Object.fromEntries(ROLES.map((role) => [role, told(roles.includes(role))])),
      });
    }
  },
  60_000,
);

it('a refusal names the permission', async () => {
  const headers = { ...authorizations.get('viewer'), 'content-type': 'application/json' };
  const answer = await fetch(`${server.url}/wiki/X`, { method: 'PUT', headers, body: '{"text":"x"}' });
  expect(await answer.json()).toMatchObject({
    ...{ status: 403, code: 'forbidden' },
    detail:
      'this needs the permission wiki:create, which is for the role editor and those above; viewer has the role viewer',
  });
});

it('a refused request journals nothing', async () => {
  const { changes } = await (await server.ask('/journal?limit=500')).json();
  const authors = new Set(changes.map(({ author }: { author: string }) => author));
  expect([authors.has('editor'), authors.has('viewer'), authors.has('no role')]).toEqual([true, false, false]);
});

it('tidemark permissions prints what docs/security.md holds', async () => {
  const { stdout } = await command(['permissions'], {}, repositoryRoot());
  expect(stdout).toBe(`${table(permissionRows(new Permissions()))}\n`);
  const text = readFileSync(join(repositoryRoot(), 'docs/security.md'), 'utf8');
  const [, held] = /<!-- `tidemark permissions` -->\n```\n([^`]*)```\n<!-- end -->/.exec(text) ?? [];
  expect(held).toBe(stdout);
});
