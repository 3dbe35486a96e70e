import 'reflect-metadata';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Controller, Get, Module } from '@nestjs/common';
import { APP_INTERCEPTOR, NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { highestTid } from '#libs/dispatch';
import { Kernel } from '#libs/kernel';
import { settled } from '#libs/testing';
import { ProblemFilter } from '../../apps/server/problem.ts';
import { ReadsProjections } from '../../apps/server/reads-projections.ts';
import { RouteTable } from '../../apps/server/routes.ts';
import { KERNEL } from '../../apps/server/tokens.ts';
import { WaitForInterceptor } from '../../apps/server/wait-for.interceptor.ts';
import { type Boxes, box, boxes, contents, item, moves } from '../projection/boxes.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Family, parseExposition } from './exposition.ts';
import { type TestServer, testServer } from './server-fixture.ts';

// Routes that read projections, and a server that tells how they stand.

const joe = { author: 'joe' };
let all: Boxes;
let kernel: Kernel;
let app: NestFastifyApplication;

@Controller('boxes')
class BoxController {
  @Get('contents')
  @ReadsProjections(contents)
  contents() {
    return all.rows('box_contents');
  }

  @Get('plain')
  plain() {
    return all.rows('item');
  }
}

@Controller('moves')
@ReadsProjections(moves)
class MovesController {
  @Get()
  moves() {
    return all.rows('item_moves');
  }
}

@Module({
  controllers: [BoxController, MovesController],
  providers: [
    { provide: KERNEL, useFactory: () => kernel },
    { provide: APP_INTERCEPTOR, useClass: WaitForInterceptor },
  ],
})
class Program {}

beforeAll(async () => {
  all = await boxes();
  kernel = await all.start();
  app = await NestFactory.create<NestFastifyApplication>(Program, new FastifyAdapter(), { logger: false });
  app.useGlobalFilters(new ProblemFilter(all.log, new RouteTable()));
  await app.init();
});

afterAll(async () => {
  await app?.close();
  await all?.close();
});

function ask(url: string, tid: number, timeout = '30') {
  return app.inject({ url, headers: { 'tidemark-wait-for': String(tid), 'tidemark-wait-timeout': timeout } });
}

/** Keeps every process from applying changes to projections, until it is called. */
async function hold(): Promise<() => Promise<void>> {
  const holder = await all.app.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT FROM tidemark.projections FOR UPDATE');
  return async () => {
    await holder.query('COMMIT');
    holder.release();
  };
}

it('a read waits until the projections that its route reads reflect the tid, and no other does', async () => {
  const release = await hold();
  const { tid } = await kernel.transaction(joe, (tx) => {
    tx.create(box, { id: 1, colour: 'red' });
    tx.create(item, { id: 7, box_id: 1, n: 1 });
  });
  expect((await ask('/boxes/plain', tid as number)).json()).toEqual([{ id: 7, box_id: 1, n: 1 }]);
  const late = await ask('/boxes/contents', tid as number, '0.2');
  expect([late.statusCode, late.json()]).toEqual([
    504,
    expect.objectContaining({
      code: 'not_caught_up',
      detail: expect.stringMatching(/^box_contents did not reflect tid \d+ within/),
    }),
  ]);
  expect((await ask('/moves', tid as number, '0.2')).json()).toMatchObject({ code: 'not_caught_up' });
  const waiting = [ask('/boxes/contents', tid as number), ask('/moves', tid as number)];
  await release();
  const [found, moved] = await Promise.all(waiting);
  expect(found?.json()).toEqual([{ box_id: 1, item_id: 7, colour: 'red', n: 1 }]);
  expect(moved?.json()).toEqual([{ item_id: 7, moves: 1, last: tid }]);
  expect((await ask('/boxes/contents', (tid as number) + 99)).statusCode).toBe(400);
});

it('settled() waits for projections, and names those that are late', async () => {
  const release = await hold();
  await kernel.transaction(joe, (tx) => tx.create(item, { id: 8, box_id: 1, n: 1 }));
  await expect(settled(kernel, { timeout: 100 })).rejects.toMatchObject({
    code: 'not_caught_up',
    message: expect.stringContaining('box_contents, item_moves did not reflect'),
  });
  await release();
  await settled(kernel, { timeout: 30_000 });
  expect(await all.rows('box_contents')).toHaveLength(2);
});

it('metrics tell of each how far it is behind, and whether it fails', async () => {
  const server = await testServer(
    all.test.url,
    {},
    {
      ...{ resources: [box, item], projections: [contents, moves], limits: { look: 0 } },
    },
  );
  try {
    const told = await metrics(server);
    const tid = await highestTid(all.app);
    expect([told('tid', 'box_contents'), told('lag_rows', 'box_contents'), told('lag_seconds', 'item_moves')]).toEqual([
      tid,
      0,
      0,
    ]);
    expect([told('failing', 'box_contents'), told('failing', 'item_moves')]).toEqual([0, 0]);
    await all.owner.query('ALTER TABLE box_contents ADD CONSTRAINT small CHECK (n < 10)');
    await all.owner.query('INSERT INTO item SELECT n, 1, 99 FROM generate_series(11, 15) n');
    await waitUntil(
      async () => (await metrics(server))('failing', 'box_contents') === 1,
      'the failure is told',
      60_000,
    );
    const failing = await metrics(server);
    expect(failing('lag_rows', 'box_contents')).toBe(5);
    expect(failing('lag_seconds', 'box_contents')).toBeGreaterThan(0);
    expect(failing('failing', 'item_moves')).toBe(0);
    await all.owner.query('ALTER TABLE box_contents DROP CONSTRAINT small');
    await waitUntil(async () => (await metrics(server))('lag_rows', 'box_contents') === 0, 'it goes on', 60_000);
    expect((await metrics(server))('failing', 'box_contents')).toBe(0);
  } finally {
    await server.close();
  }
});

async function metrics(server: TestServer): Promise<(of: string, projection: string) => number | undefined> {
  const families: Map<string, Family> = parseExposition(await (await fetch(`${server.url}/metrics`)).text());
  return (of, projection) =>
    families.get(`tidemark_projection_${of}`)?.samples.get(`tidemark_projection_${of}{projection="${projection}"}`);
}
