import type { Generated } from 'kysely';
import { type Actor, defineResource, KernelError, type Writer } from 'tidemark';

export interface Order {
  id: number;
  customer: string;
  cents: number;
  status: string;
  row_version: number;
}

/** The tables of the shop, as Kysely wants them. */
export interface ShopTables {
  shop_order: {
    id: Generated<number>;
    customer: string;
    cents: number;
    status: Generated<string>;
    /** A bigint: the shop's pool reads it as text. */
    row_version: Generated<string>;
  };
}

export const order = defineResource<Order>({ name: 'shop_order' });

export async function placeOrder(
  writer: Writer<ShopTables>,
  actor: Actor,
  wanted: { customer: string; cents: number },
) {
  const { tid, result } = await writer.transaction(actor, (tx) => tx.create(order, wanted));
  return { tid, order: result.row };
}

export async function shipOrder(writer: Writer<ShopTables>, actor: Actor, id: number) {
  return writer.transaction(actor, async (tx) => {
    const found = await tx.lock(order, id);
    if (!found) throw new KernelError('not_found', `there is no order ${id}`);
    if (found.status !== 'open') throw new KernelError('conflict', `order ${id} is ${found.status} already`);
    tx.save(order, id, { status: 'shipped' });
  });
}
