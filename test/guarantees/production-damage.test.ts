import { userInfo } from 'node:os';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { endProcess } from '../cli/server-process.ts';
import { DAMAGES, type DamagedProduction, damagedProduction, type Shot } from './damaged-production.ts';

const REASON = ['--reason', 'somebody was at the tables'];

let p: DamagedProduction;
beforeAll(async () => {
  p = await damagedProduction();
}, 60_000);
afterAll(() => p?.close());

/** What is wrong with each shot, in the words of the report. */
const broken = () => Object.values(DAMAGES).map(({ found }, n) => entity(n, found(p.shots[n] as Shot)));
const entity = (n: number, found: unknown) => ({
  ...{ entity_type: 'shot', entity_id: (p.shots[n] as Shot).id, inconsistencies: [found] },
});
const inProjection = ({ inconsistencies: [one] }: { inconsistencies: unknown[] }) =>
  (one as { source: string }).source === 'projection';

async function report() {
  const { status, body } = await p.ask('GET', `/data-consistency/report?project_id=${p.project}`);
  expect(status).toBe(200);
  const invalid = (body.entities as { valid: boolean; entity_type: string; entity_id: string; inconsistencies: [] }[])
    .filter(({ valid }) => !valid)
    .map(({ entity_type, entity_id, inconsistencies }) => ({ entity_type, entity_id, inconsistencies }));
  return { summary: body.summary, invalid };
}

async function repairRows(more: object = {}) {
  return p.ask('POST', '/data-consistency/repair', { project_id: p.project, ...more });
}

const lines = (stdout: string) =>
  stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));

/** What `tidemark verify` prints: `resource id field kind`. */
async function verify(...args: string[]): Promise<string[]> {
  const { end, stdout } = await p.tidemark('verify', ...args);
  const found = lines(stdout);
  expect(end).toBe(found.length === 0 ? 0 : 1);
  return found.map(({ resource, row_id, field, kind }) => [resource, row_id, field, kind].filter(Boolean).join(' '));
}

/** Runs a repair that has to succeed, and tells how many lines it printed. */
async function repair(...args: string[]): Promise<number> {
  const { end, stdout, stderr } = await p.tidemark('repair', ...args, ...REASON, '--apply', '--json');
  expect({ args, end, stderr }).toEqual({ args, end: 0, stderr: expect.stringMatching(/repaired|nothing/) });
  expect(new Set(lines(stdout).map(({ outcome }) => outcome))).toEqual(new Set(stdout === '' ? [] : ['done']));
  return lines(stdout).length;
}

/** Tasks by their journal, but for the one whose journal has lost something: that one stays as it is. */
async function repairTasks(): Promise<void> {
  const { comp } = p.shots[9] as Shot;
  expect(await repair('--resource', 'task', '--id', comp, '--accept', 'model')).toBe(1);
  expect(await repair('--resource', 'task', '--accept', 'journal')).toBe(3);
  expect(await repair('--resource', 'task_comment', '--accept', 'journal')).toBe(1);
}

it('ten shots that are broken in ten ways are reported, shown by a dry run, mended, and it is known by whom', async () => {
  expect((await report()).summary).toMatchObject({ entities: 12, valid: 12, tasks: 24, inconsistencies: 0 });
  expect(await verify()).toEqual([]);
  await p.damage();
  const damaged = await p.contents();

  const { summary, invalid } = await report();
  expect(invalid).toEqual(broken());
  const by_kind = { missing: 2, extra: 2, wrong: 5, duplicate: 1, stale: 0 };
  expect(summary).toMatchObject({ entities: 12, valid: 2, invalid: 10, tasks: 24, inconsistencies: 10, by_kind });
  const health = await p.ask('GET', `/data-consistency/health?project_id=${p.project}`);
  expect([health.status, health.body.inconsistent_entities]).toEqual([503, 10]);

  const mendable = broken().filter(inProjection);
  const rest = broken().filter((one) => !inProjection(one));
  const dry = await repairRows();
  expect(dry.body).toEqual({ dry_run: true, tid: null, repaired: mendable, remaining: rest });
  expect(await p.contents()).toEqual(damaged);

  const [altered, inserted, deleted] = p.shots as [Shot, Shot, Shot];
  const cut = p.shots[9] as Shot;
  const planned = await p.tidemark('repair', '--resource', 'task');
  expect([planned.end, planned.stderr]).toEqual([1, 'nothing was changed: --accept, --reason and --apply do it\n']);
  expect(planned.stdout).toContain(
    'planned: --accept journal deletes the row; --accept model journals the row as it is\n',
  );
  expect(
    planned.stdout
      .split('\n')
      .map((line) => line.split(/, should be {|, is {|\. planned/)[0])
      .sort(),
  ).toEqual(
    [
      ...['', 'task 900000: extra, should be null', `task ${deleted.comp}: missing`],
      `task ${altered.comp} status: wrong, should be "wip", is "done"`,
      `task ${cut.comp} status: wrong, should be "todo", is "wip"`,
    ].sort(),
  );

  // what would be computed of damaged tasks is not computed
  await repairTasks();
  expect((await report()).invalid).toEqual(mendable);
  const wet = await repairRows({ dry_run: false, reason: 'a night shift' });
  const { tid } = wet.body;
  expect(wet.body).toEqual({ dry_run: false, tid: expect.any(Number), repaired: mendable, remaining: [] });
  expect((await report()).summary).toMatchObject({ valid: 12, invalid: 0 });

  // nobody can keep a table current that has lost its key, and what is told of history is told anew
  expect([...new Set((await verify()).map((line) => line.split(' ')[0]))]).toEqual([
    ...['entity_task_status', 'task_cycle_time'],
  ]);
  expect(await repair('--projection', 'entity_task_status')).toBe(1);
  await repair('--projection', 'task_cycle_time');
  await p.caughtUp();
  expect(await verify()).toEqual([]);
  expect((await report()).invalid).toEqual([]);
  expect((await p.ask('GET', '/data-consistency/health')).body).toMatchObject({ inconsistent_entities: 0 });

  const mended = await p.contents();
  expect((await repairRows({ dry_run: false })).body).toEqual({
    dry_run: false,
    tid: null,
    repaired: [],
    remaining: [],
  });
  expect(await repair('--resource', 'task', '--accept', 'journal')).toBe(0);
  expect(await p.contents()).toEqual(mended);

  const { body } = await p.ask('GET', `/journal/${tid}`);
  expect(body.changes).toMatchObject([
    {
      resource: 'consistency_repair',
      author: 'ann',
      comment: 'a night shift',
      fields: { entities: { new: mendable } },
    },
  ]);
  const operator = { author: userInfo().username, comment: REASON[1] };
  for (const [id, change] of [
    [altered.comp, 'MODIFY'],
    ['900000', 'DELETE'],
    [deleted.comp, 'CREATE'],
    [cut.comp, 'MODIFY'],
  ] as const) {
    const { stdout } = await p.tidemark('history', 'task', id, '--limit', '1', '--json');
    expect(lines(stdout)).toMatchObject([{ resource: 'task', id, change, ...operator }]);
  }

  // and what comes next is shown as ever
  await p.ask('PUT', `/tasks/${inserted.comp}/status`, { status: 'review' });
  await p.caughtUp();
  expect((await report()).summary).toMatchObject({ valid: 12, invalid: 0 });
}, 180_000);

it('the same is found and mended by the command line alone', async () => {
  await p.damage();
  const shown = (n: number, what: string) => `entity_task_status ["shot",${(p.shots[n] as Shot).id}] ${what}`;
  const comp = (n: number) => (p.shots[n] as Shot).comp;
  const found = (await verify()).filter((line) => !/^(project_progress|task_cycle_time) /.test(line));
  expect(found.sort()).toEqual(
    [
      ...[
        `task ${comp(0)} status wrong`,
        'task 900000 extra',
        `task ${comp(2)} missing`,
        `task ${comp(9)} status wrong`,
      ],
      // it was all that the last change of this task said
      ...[
        `task ${comp(9)} no_history`,
        `task_comment [${comp(2)},1] missing`,
        'entity_task_status primary key missing',
      ],
      ...[shown(0, 'task_status wrong'), shown(0, 'task_details wrong'), shown(1, 'task_details wrong')],
      ...[shown(2, 'task_status wrong'), shown(2, 'task_details wrong'), shown(3, 'missing')],
      ...[shown(4, 'task_status wrong'), shown(5, 'duplicate'), shown(6, 'task_details wrong')],
      ...[shown(7, 'task_details wrong'), shown(8, 'task_details wrong')],
    ].sort(),
  );
  const damaged = await p.contents();
  const { end, stdout } = await p.tidemark('repair', '--projection', 'entity_task_status');
  expect([end, stdout]).toEqual([1, expect.stringContaining('task_details[1].priority: wrong, should be 0, is 3. ')]);
  expect(await p.contents()).toEqual(damaged);
  for (const id of [comp(0), '900000', comp(2)]) {
    expect(await repair('--resource', 'task', '--id', id, '--accept', 'journal')).toBe(1);
  }
  expect(await repair('--resource', 'task_comment', '--accept', 'journal')).toBe(1);
  expect(await repair('--resource', 'task', '--accept', 'model')).toBe(2);
  for (const name of ['entity_task_status', 'task_cycle_time']) await repair('--projection', name);
  await p.caughtUp();
  expect(await verify()).toEqual([]);
  expect((await report()).summary).toMatchObject({ valid: 12, invalid: 0 });
}, 180_000);

it('a checkpoint that is set ahead, or back, is found and mended', async () => {
  const set = (tid: string, ...names: string[]) =>
    p.owner.query(`UPDATE tidemark.projections SET tid = ${tid} WHERE name = ANY ($1)`, [names]);
  const ahead = async () => {
    const { status, body } = await p.ask('GET', '/data-consistency/health');
    return [status, body.projection_tid > body.head_tid];
  };
  await set('tid + 1000', 'entity_task_status');
  expect(await ahead()).toEqual([503, true]);
  expect(await verify()).toEqual(['entity_task_status tid wrong']);
  expect(await repair('--projection', 'entity_task_status')).toBe(1);
  expect([await verify(), await ahead()]).toEqual([[], [200, false]]);
  // a server would go on from there at once
  await endProcess(p.server, 'SIGTERM');
  const both = ['entity_task_status', 'task_cycle_time'];
  await set('2', ...both);
  expect((await verify()).filter((line) => line.endsWith(' tid wrong'))).toEqual(
    both.map((name) => `${name} tid wrong`),
  );
  for (const name of both) await repair('--projection', name);
  expect(await verify()).toEqual([]);
}, 120_000);
