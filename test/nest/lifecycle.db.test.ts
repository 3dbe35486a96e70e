import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import pg from 'pg';
import { createKernel, Kernel } from '#libs/kernel';
import { TidemarkModule } from '#libs/nest';
import type { TestDatabase } from '../support/test-database.ts';
import { order, shopDatabase, silent, start } from './application.ts';

let test: TestDatabase;

beforeAll(async () => {
  test = await shopDatabase();
});

// it fails when an application has left connections open
afterAll(() => test.drop());

@Injectable()
class Host implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly states: string[] = [];

  constructor(@Inject(Kernel) readonly kernel: Kernel) {}

  onApplicationBootstrap(): void {
    this.states.push(this.kernel.dispatcher.status().state, this.kernel.epoch.length > 0 ? 'epoch' : '');
  }

  async onApplicationShutdown(): Promise<void> {
    await this.kernel.transaction({ author: 'kim' }, (tx) => tx.create(order, { customer: 'last' }));
    this.states.push(this.kernel.dispatcher.status().state);
  }
}

describe('TidemarkModule', () => {
  it('has started its kernel when other modules are told to start, and stops it after them', async () => {
    const app = await start({
      imports: [TidemarkModule.forRoot({ connection: test.url, resources: [order], log: silent })],
      providers: [Host],
    });
    const host = app.get(Host);
    await app.close();
    expect(host.states).toEqual(['running', 'epoch', 'running']);
    expect(host.kernel.dispatcher.status().state).toBe('stopped');
  });

  it("does not end the host's pool", async () => {
    const pool = new pg.Pool({ connectionString: test.url, max: 2 });
    const app = await start({ imports: [TidemarkModule.forRoot({ pool, resources: [order], log: silent })] });
    await app.close();
    expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    await pool.end();
  });

  it('runs a kernel that was made before, and leaves its connections to whoever made it', async () => {
    const kernel = createKernel({ connection: test.url, resources: [order], log: silent });
    const app = await start({ imports: [TidemarkModule.forRoot({ kernel })], providers: [Host] });
    expect(app.get(Kernel)).toBe(kernel);
    await app.close();
    expect(await kernel.db.selectFrom('shop_order' as never).execute()).toEqual(expect.any(Array));
    await kernel.close();
  });

  it('takes its options from what is injected, once that is ready', async () => {
    const app = await start({
      imports: [
        TidemarkModule.forRootAsync({
          isGlobal: false,
          provideInjectionTokensFrom: [{ provide: 'URL', useFactory: async () => test.url }],
          inject: ['URL'],
          useFactory: (url: string) => ({ connection: url, resources: [order], log: silent, name: 'async' }),
        }),
      ],
    });
    const { rows } = await app.get(Kernel).database.query('SELECT name FROM tidemark.processes');
    expect(rows).toContainEqual({ name: 'async' });
    await app.close();
  });
});
