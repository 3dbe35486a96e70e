import 'reflect-metadata';
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { Kernel } from 'tidemark';
import { kernelToken } from 'tidemark/nest';
import { settled, type TestDatabase, testDatabase } from 'tidemark/testing';
import { order, type ShopTables } from '../src/order.js';
import { OrderChangedHandler } from '../src/order-changed.handler.js';
import { LabelPrinter, ShippingListener } from '../src/shipping.listener.js';
import { shopModule } from '../src/shop.module.js';

describe('the shop', () => {
  let shopDatabase: TestDatabase;
  let outletDatabase: TestDatabase;
  let pool: pg.Pool;
  let app: NestFastifyApplication;
  let shop: Kernel<ShopTables>;
  let outlet: Kernel<ShopTables>;

  before(async () => {
    [shopDatabase, outletDatabase] = await Promise.all([
      testDatabase({ folder: 'migrations' }),
      testDatabase({ folder: 'migrations' }),
    ]);
    pool = new pg.Pool({ connectionString: shopDatabase.url });
    app = await NestFactory.create<NestFastifyApplication>(
      shopModule({ pool, outletUrl: outletDatabase.url }),
      new FastifyAdapter(),
      { logger: ['error', 'warn'] },
    );
    await app.init();
    shop = app.get<Kernel<ShopTables>>(Kernel);
    outlet = app.get<Kernel<ShopTables>>(kernelToken('outlet'));
  });

  after(async () => {
    await app.close();
    await pool.end();
    await Promise.all([shopDatabase.drop(), outletDatabase.drop()]);
  });

  async function post(path: string, body: object = {}) {
    const { statusCode, payload } = await app.inject({ method: 'POST', url: path, payload: body });
    assert.equal(statusCode, 201, payload);
    return JSON.parse(payload) as { tid: number; order: { id: number } };
  }

  it('journals what its controller does, and prints one label for an order that is shipped', async () => {
    const placed = await post('/orders', { customer: 'Eva', cents: 1250 });
    const { tid } = await post(`/orders/${placed.order.id}/ship`);
    assert.ok(tid > placed.tid);
    await settled(shop);
    assert.deepEqual(app.get(LabelPrinter).printed, [`order ${placed.order.id}`]);
    const { payload } = await app.inject({ url: `/orders/${placed.order.id}/history` });
    const history = JSON.parse(payload) as { change: string; author: string; fields: Record<string, unknown> }[];
    assert.deepEqual(
      history.map(({ change, author }) => [change, author]),
      [
        ['MODIFY', 'warehouse'],
        ['CREATE', 'Eva'],
      ],
    );
    assert.deepEqual(history[0]?.fields, { status: { old: 'open', new: 'shipped' } });
  });

  it('journals a transaction of its own Kysely under an actor', async () => {
    const kysely = new Kysely<ShopTables>({ dialect: new PostgresDialect({ pool }) });
    const id = await kysely.transaction().execute(async (trx) => {
      await shop.join(trx, { author: 'mia', comment: 'by phone' });
      const created = trx.insertInto('shop_order').values({ customer: 'Ola', cents: 300 }).returning('id');
      return (await created.executeTakeFirstOrThrow()).id;
    });
    shop.wake();
    await settled(shop);
    const { rows } = await pool.query('SELECT author, comment, origin FROM shop_order_journal WHERE id = $1', [id]);
    assert.deepEqual(rows, [{ author: 'mia', comment: 'by phone', origin: shop.origin }]);
  });

  it('learns as a secondary of what another program does', async () => {
    const { rows } = await pool.query(`INSERT INTO shop_order (customer, cents) VALUES ('Per', 1) RETURNING id`);
    await settled(shop);
    assert.equal(app.get(ShippingListener).seen.at(-1), `${shopDatabase.name}: CREATE ${rows[0]?.id}`);
  });

  it('keeps its two databases apart', async () => {
    const seen = app.get(ShippingListener).seen;
    const before = seen.length;
    const placed = await post('/orders/outlet', { customer: 'Uwe', cents: 50 });
    await settled([shop, outlet]);
    assert.deepEqual(seen.slice(before), [`outlet, primary: CREATE ${placed.order.id}`]);
    const found = await shop.db.selectFrom('shop_order').select('id').where('customer', '=', 'Uwe').execute();
    assert.deepEqual(found, []);
  });

  it('publishes its changes as events', async () => {
    await post('/orders', { customer: 'Ida', cents: 5 });
    await settled(shop);
    assert.equal(app.get(OrderChangedHandler).customers.at(-1), 'Ida');
  });

  it('has its tables in its types', async () => {
    // @ts-expect-error there is no such table
    await assert.rejects(() => shop.db.selectFrom('basket').selectAll().execute());
    // @ts-expect-error there is no such column
    await assert.rejects(shop.transaction({ author: 'kim' }, (tx) => void tx.create(order, { custommer: 'Eva' })));
  });
});
