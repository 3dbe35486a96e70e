import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { type INestApplicationContext, Inject, Injectable, type ModuleMetadata, Scope } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import type { JournalEntry } from '#libs/journal';
import { Kernel } from '#libs/kernel';
import { InjectKernel, kernelToken, OnChange, TidemarkModule } from '#libs/nest';
import { settled } from '#libs/testing';
import type { TestDatabase } from '../support/test-database.ts';
import { PATIENTLY } from '../support/wait-until.ts';
import { order, shopDatabase, silent, start } from './application.ts';

let test: TestDatabase;
let other: TestDatabase;
const running: INestApplicationContext[] = [];

beforeAll(async () => {
  [test, other] = await Promise.all([shopDatabase(), shopDatabase()]);
});

afterEach(async () => {
  for (const app of running.splice(0)) await app.close();
});

afterAll(async () => {
  await Promise.all([test.drop(), other.drop()]);
});

const module = (options: object = {}) =>
  TidemarkModule.forRoot({ connection: test.url, resources: [order], log: silent, ...options });

async function run(metadata: ModuleMetadata): Promise<INestApplicationContext> {
  const app = await start(metadata);
  running.push(app);
  return app;
}

@Injectable()
class Mail {
  readonly sent: string[] = [];
}

@Injectable()
class OrderListener {
  readonly told: string[] = [];

  constructor(@Inject(Mail) private readonly mail: Mail) {}

  @OnChange({ resource: order })
  mailIt(change: JournalEntry): void {
    this.mail.sent.push(`${change.change} ${change.values['customer']}`);
  }

  @OnChange({ resource: 'shop_order', fields: ['status'], as: 'both' })
  async onStatus(change: JournalEntry, as: string): Promise<void> {
    this.told.push(`${as} ${change.change}`);
  }

  @OnChange({ resource: order, as: 'secondary' })
  refresh(): void {
    this.told.push('refresh');
  }
}

describe('@OnChange', () => {
  it('tells a provider, with what is injected into it, of the changes that it asked for', async () => {
    const app = await run({ imports: [module()], providers: [Mail, OrderListener] });
    const kernel = app.get(Kernel);
    const { result } = await kernel.transaction({ author: 'kim' }, (tx) => tx.create(order, { customer: 'Eva' }));
    await kernel.transaction({ author: 'kim' }, (tx) => tx.save(order, result.row.id, { customer: 'Eve' }));
    await kernel.transaction({ author: 'kim' }, (tx) => tx.save(order, result.row.id, { status: 'shipped' }));
    await kernel.database.query(`DELETE FROM shop_order`);
    await settled(kernel, PATIENTLY);
    expect(app.get(Mail).sent).toEqual(['CREATE Eva', 'MODIFY Eve', 'MODIFY undefined', 'DELETE undefined']);
    expect(app.get(OrderListener).told).toEqual(
      expect.arrayContaining(['primary CREATE', 'primary MODIFY', 'secondary DELETE', 'primary DELETE', 'refresh']),
    );
    expect(app.get(OrderListener).told).toHaveLength(5);
  });

  it('tells the process that made a change as primary, and all others as secondary', async () => {
    const [here, there] = [
      await run({ imports: [module()], providers: [Mail, OrderListener] }),
      await run({ imports: [module()], providers: [Mail, OrderListener] }),
    ];
    const kernels = [here.get(Kernel), there.get(Kernel)];
    await here.get(Kernel).transaction({ author: 'kim' }, (tx) => tx.create(order, { customer: 'Bo' }));
    await settled(kernels, PATIENTLY);
    expect(here.get(Mail).sent).toEqual(['CREATE Bo']);
    expect(here.get(OrderListener).told).toEqual(['primary CREATE']);
    expect(there.get(Mail).sent).toEqual([]);
    expect(there.get(OrderListener).told.sort()).toEqual(['refresh', 'secondary CREATE']);
  });

  it('is named after class and method in the status', async () => {
    const app = await run({ imports: [module()], providers: [Mail, OrderListener] });
    const { dispatcher, effects } = app.get(Kernel);
    const names = (listeners: readonly { name: string }[]) => listeners.map(({ name }) => name);
    expect(names(effects.status())).toEqual(['OrderListener.mailIt', 'OrderListener.onStatus']);
    expect(names(dispatcher.status().listeners)).toEqual(['OrderListener.onStatus', 'OrderListener.refresh']);
  });

  it('belongs to the kernel that it names', async () => {
    @Injectable()
    class Billing {
      readonly told: string[] = [];

      constructor(@InjectKernel('billing') readonly kernel: Kernel) {}

      @OnChange({ resource: order, kernel: 'billing' })
      @OnChange({ resource: order, as: 'both', name: 'any-order' })
      onChange(change: JournalEntry): void {
        this.told.push(String(change.values['customer']));
      }
    }
    const billing = TidemarkModule.forRootAsync({
      name: 'billing',
      useFactory: async () => ({ connection: other.url, resources: [order], log: silent }),
    });
    const app = await run({ imports: [module(), billing], providers: [Billing] });
    const found = app.get(Billing);
    expect(found.kernel).toBe(app.get(kernelToken('billing')));
    expect(found.kernel).not.toBe(app.get(Kernel));
    expect(found.kernel.effects.status().map(({ name }) => name)).toEqual(['Billing.onChange.shop_order']);
    await found.kernel.transaction({ author: 'kim' }, (tx) => tx.create(order, { customer: 'there' }));
    await settled(found.kernel, PATIENTLY);
    await app.get(Kernel).transaction({ author: 'kim' }, (tx) => tx.create(order, { customer: 'here' }));
    await settled(app.get(Kernel), PATIENTLY);
    expect(found.told).toEqual(['there', 'here']);
  });

  it('is heard in a class that is provided twice under two names, once', async () => {
    const alias = { provide: 'ALIAS', useExisting: OrderListener };
    const app = await run({ imports: [module()], providers: [Mail, OrderListener, alias] });
    expect(app.get(Kernel).effects.status()).toHaveLength(2);
  });

  it('stays out of the way of a listener that throws', async () => {
    @Injectable()
    class Broken {
      @OnChange({ resource: order })
      fail(): void {
        throw new Error('no paper');
      }
    }
    const app = await run({ imports: [module()], providers: [Mail, OrderListener, Broken] });
    await app.get(Kernel).transaction({ author: 'kim' }, (tx) => tx.create(order, { customer: 'Cy' }));
    await settled(app.get(Kernel), PATIENTLY);
    expect(app.get(Mail).sent).toContain('CREATE Cy');
    const listeners = app.get(Kernel).effects.status();
    expect(listeners.find(({ name }) => name === 'Broken.fail')).toMatchObject({ failed: 1, lastError: 'no paper' });
  });
});

describe('an application does not start', () => {
  const refused = async (metadata: ModuleMetadata, message: string | RegExp) =>
    expect(start(metadata)).rejects.toMatchObject({ code: 'configuration', message: expect.stringMatching(message) });

  it('with a listener that is made anew for each request', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {
      @OnChange({ resource: order })
      onChange(): void {}
    }
    await refused(
      { imports: [module()], providers: [Scoped] },
      /^Scoped\.onChange has @OnChange, but its class is made anew/,
    );
  });

  it('with a listener that depends on something made anew for each request', async () => {
    @Injectable()
    class Dependent {
      constructor(@Inject(REQUEST) readonly request: unknown) {}

      @OnChange({ resource: order })
      onChange(): void {}
    }
    await refused({ imports: [module()], providers: [Dependent] }, /^Dependent\.onChange .* must be a singleton$/);
  });

  it('with a transient listener', async () => {
    @Injectable({ scope: Scope.TRANSIENT })
    class Transient {
      @OnChange({ resource: order })
      onChange(): void {}
    }
    await refused({ imports: [module()], providers: [Transient] }, /^Transient\.onChange .* is transient/);
  });

  it('with a listener to a resource, or a kernel, that is not there', async () => {
    @Injectable()
    class Lost {
      @OnChange({ resource: 'shop_ordr' })
      onChange(): void {}
    }
    @Injectable()
    class Astray {
      @OnChange({ resource: order, kernel: 'biling' })
      onChange(): void {}
    }
    await refused(
      { imports: [module()], providers: [Lost] },
      /^Lost\.onChange listens to the resource shop_ordr, which the kernel default does not have: it has shop_order$/,
    );
    await refused(
      { imports: [module()], providers: [Astray] },
      /the kernel biling, which does not exist: there is default$/,
    );
  });

  it('with one listener class in two modules', async () => {
    class Other {}
    const second = { module: Other, providers: [Mail, OrderListener] };
    await refused(
      { imports: [module(), second], providers: [Mail, OrderListener] },
      /^two listeners are called OrderListener/,
    );
  });

  it('with two kernels of one name', async () => {
    await refused({ imports: [module(), module()] }, /^two kernels are called default/);
  });

  it('on a table that is not journaled, and leaves no connection behind', async () => {
    const basket = { ...order, name: 'basket', table: 'basket' };
    await refused({ imports: [module({ resources: [basket] })] }, /table basket of the resource basket does not exist/);
  });
});
