import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { type INestApplicationContext, Injectable, type ModuleMetadata } from '@nestjs/common';
import {
  CommandHandler,
  CqrsModule,
  EventsHandler,
  type ICommandHandler,
  type IEventHandler,
  ofType,
  Saga,
} from '@nestjs/cqrs';
import { map, type Observable } from 'rxjs';
import { Kernel } from '#libs/kernel';
import { type ChangedEvent, changeEvent, TidemarkModule } from '#libs/nest';
import { settled } from '#libs/testing';
import type { TestDatabase } from '../support/test-database.ts';
import { PATIENTLY, waitUntil } from '../support/wait-until.ts';
import { type Order, order, shopDatabase, silent, start } from './application.ts';

const OrderChanged = changeEvent(order);

@EventsHandler(OrderChanged)
class Screen implements IEventHandler<ChangedEvent<Order>> {
  readonly shown: string[] = [];

  handle({ change, as }: ChangedEvent<Order>): void {
    if (change.values.customer === 'throw') throw new Error('the screen is off');
    this.shown.push(`${as} ${change.change} ${change.values.customer}`);
  }
}

class Greet {
  constructor(readonly customer: string | undefined) {}
}

@CommandHandler(Greet)
class GreetHandler implements ICommandHandler<Greet> {
  readonly greeted: (string | undefined)[] = [];

  async execute({ customer }: Greet): Promise<void> {
    this.greeted.push(customer);
  }
}

@Injectable()
class Sagas {
  @Saga()
  greet = (events: Observable<object>): Observable<Greet> =>
    events.pipe(
      ofType(OrderChanged),
      map(({ change }) => new Greet(change.values.customer)),
    );
}

let test: TestDatabase;
const running: INestApplicationContext[] = [];

beforeAll(async () => {
  test = await shopDatabase();
});

afterEach(async () => {
  for (const app of running.splice(0)) await app.close();
});

afterAll(() => test.drop());

const module = (options: object = {}) =>
  TidemarkModule.forRoot({ connection: test.url, resources: [order], log: silent, ...options });

async function run(options: object): Promise<INestApplicationContext> {
  const metadata: ModuleMetadata = {
    imports: [CqrsModule.forRoot(), module(options)],
    providers: [Screen, GreetHandler, Sagas],
  };
  const app = await start(metadata);
  running.push(app);
  return app;
}

const place = (app: INestApplicationContext, customer: string) =>
  app.get(Kernel).transaction({ author: 'kim' }, (tx) => tx.create(order, { customer }));

describe('the bridge to the EventBus', () => {
  it('is off by default', async () => {
    const app = await run({});
    await place(app, 'Eva');
    await settled(app.get(Kernel), PATIENTLY);
    expect(app.get(Screen).shown).toEqual([]);
  });

  it('publishes delivered changes as events of their resource, to handlers and sagas', async () => {
    const app = await run({ publishEvents: true });
    await place(app, 'Eva');
    await app.get(Kernel).database.query(`INSERT INTO shop_order (customer) VALUES ('Per')`);
    await settled(app.get(Kernel), PATIENTLY);
    await waitUntil(() => app.get(GreetHandler).greeted.length === 2, 'the saga has sent its commands');
    expect(app.get(Screen).shown).toEqual(['primary CREATE Eva', 'secondary CREATE Per']);
    expect(app.get(GreetHandler).greeted).toEqual(['Eva', 'Per']);
  });

  it('loses an event whose handler throws, and goes on', async () => {
    const app = await run({ publishEvents: true });
    await place(app, 'throw');
    await place(app, 'Ida');
    await settled(app.get(Kernel), PATIENTLY);
    expect(app.get(Screen).shown).toEqual(['primary CREATE Ida']);
    expect(app.get(Kernel).dispatcher.status().listeners).toMatchObject([{ name: 'events-of-default', failed: 0 }]);
  });

  it('does not start without an EventBus', async () => {
    await expect(start({ imports: [module({ publishEvents: true })] })).rejects.toMatchObject({
      code: 'configuration',
      message: 'publishEvents needs the EventBus of @nestjs/cqrs: import CqrsModule.forRoot()',
    });
  });
});

describe('the class of events', () => {
  it('is one for each resource of each kernel, and bears its name', () => {
    expect(changeEvent('shop_order')).toBe(OrderChanged);
    expect(changeEvent('shop_order', { kernel: 'billing' })).not.toBe(OrderChanged);
    expect(changeEvent('ticket')).not.toBe(OrderChanged);
    expect(OrderChanged.name).toBe('ShopOrderChanged');
  });
});
