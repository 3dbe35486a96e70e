import { type DynamicModule, Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import type { Pool } from 'pg';
import { TidemarkModule } from 'tidemark/nest';
import { order } from './order.js';
import { OrderChangedHandler } from './order-changed.handler.js';
import { OrdersController } from './orders.controller.js';
import { LabelPrinter, ShippingListener } from './shipping.listener.js';

@Module({})
class ShopModule {}

/** The shop on its own pool, and its outlet on a database that Tidemark connects to. */
export function shopModule({ pool, outletUrl }: { pool: Pool; outletUrl: string }): DynamicModule {
  return {
    module: ShopModule,
    imports: [
      CqrsModule.forRoot(),
      TidemarkModule.forRoot({ pool, resources: [order], publishEvents: true }),
      TidemarkModule.forRootAsync({
        name: 'outlet',
        useFactory: async () => ({ connection: outletUrl, resources: [order] }),
      }),
    ],
    controllers: [OrdersController],
    providers: [LabelPrinter, ShippingListener, OrderChangedHandler],
  };
}
