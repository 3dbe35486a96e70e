import createClient from 'openapi-fetch';
import type { components, paths } from './api.js';

type Problem = components['schemas']['Problem'];
type Change = components['schemas']['Change'];

const [baseUrl = '', token = ''] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

/** What a program does with a refusal: goes by its code. */
function refused(problem: Problem | undefined): string {
  switch (problem?.code) {
    case 'stale':
      return 'somebody was faster';
    case 'not_found':
      return 'there is none';
    case 'invalid':
      return problem.errors?.map(({ path, message }) => `${path}: ${message}`).join() ?? problem.detail;
    default:
      throw new Error(problem?.detail ?? 'no answer');
  }
}

async function* names(prefix: string): AsyncGenerator<string> {
  let cursor: string | undefined;
  do {
    const query = { prefix, limit: 2, ...(cursor === undefined ? {} : { cursor }) };
    const { data, error } = await client.GET('/wiki', { params: { query, header: { 'Tidemark-Wait-For': lastTid } } });
    if (error) throw new Error(refused(error));
    yield* data.items;
    cursor = data.next ?? undefined;
  } while (cursor !== undefined);
}

let lastTid = 0;

async function put(name: string, text: string, header: { 'If-Match'?: string; 'If-None-Match'?: '*' } = {}) {
  const params = { path: { name }, header: { ...header, 'Idempotency-Key': crypto.randomUUID() } };
  const { data, error, response } = await client.PUT('/wiki/{name}', {
    params,
    body: { text, comment: 'by a client' },
  });
  lastTid = Math.max(lastTid, Number(response.headers.get('Tidemark-Tid') ?? 0));
  return {
    page: data,
    refusal: error && refused(error),
    etag: response.headers.get('ETag') ?? '',
    status: response.status,
  };
}

const name = 'notes/a client';
const created = await put(name, 'one', { 'If-None-Match': '*' });
const again = await put(name, 'one', { 'If-None-Match': '*' });
const changed = await put(name, 'two', { 'If-Match': created.etag });
const late = await put(name, 'three', { 'If-Match': created.etag });
for (const more of ['b', 'c', 'd', 'e']) await put(`notes/${more}`, more);

const { data: history } = await client.GET('/wiki/{name}/history', { params: { path: { name } } });
const steps: Change['fields'][string][] = history?.items.flatMap(({ fields }) => fields['text'] ?? []) ?? [];
const missing = await client.GET('/wiki/{name}', { params: { path: { name: 'nothing' } } });
const unchecked = await client.PUT('/wiki/{name}', { params: { path: { name } }, body: JSON.parse('{"txet":"a"}') });
const { data: journal } = await client.GET('/journal', { params: { query: { limit: 1, resource: 'wiki' } } });
const found: string[] = [];
for await (const one of names('notes/')) found.push(one);

const opened = await client.POST('/tickets', {
  body: { summary: 'The door sticks', priority: 'major', custom: { floor: 2 } },
});
const id = opened.data?.id ?? '';
const ticket = { path: { id }, header: { 'If-Match': opened.response.headers.get('ETag') ?? '' } };
const taken = await client.PATCH('/tickets/{id}', { params: ticket, body: { action: 'accept', comment: 'mine' } });
const tooLate = await client.PATCH('/tickets/{id}', { params: ticket, body: { priority: 'minor' } });
const { data: offered } = await client.GET('/tickets/{id}/actions', { params: { path: { id } } });
const { data: told } = await client.GET('/tickets/{id}/history', { params: { path: { id } } });
const mine = { owner: [taken.data?.owner ?? '', 'nobody'], sort: '-priority' as const };
const { data: tickets } = await client.GET('/tickets', { params: { query: mine } });

const said = {
  created: [created.status, created.page?.version],
  again: again.refusal,
  changed: [changed.status, changed.page?.text],
  late: [late.refusal, late.etag === changed.etag],
  history: steps,
  missing: refused(missing.error),
  unchecked: unchecked.error && refused(unchecked.error),
  journal: journal?.changes.map(({ resource, change, author }) => `${resource} ${change} ${author}`),
  found,
  ticket: [opened.response.status, taken.data?.status, taken.data?.custom['floor'], refused(tooLate.error)],
  offered: offered?.items.map(({ action, sets }) => [action, sets[0]?.options?.includes('fixed')]),
  told: told?.items.map(({ change, number, comment }) => [change, number, comment]),
  tickets: tickets?.items.map(({ summary }) => summary),
};
process.stdout.write(JSON.stringify(said));
