import { EventsHandler, type IEventHandler } from '@nestjs/cqrs';
import { type ChangedEvent, changeEvent } from 'tidemark/nest';
import { type Order, order } from './order.js';

export const OrderChanged = changeEvent(order);

/** Keeps a screen current. It may miss an order: nothing that must happen hangs on it. */
@EventsHandler(OrderChanged)
export class OrderChangedHandler implements IEventHandler<ChangedEvent<Order>> {
  readonly customers: (string | undefined)[] = [];

  handle({ change }: ChangedEvent<Order>): void {
    if (change.change === 'CREATE') this.customers.push(change.values.customer);
  }
}
