import { Body, Controller, Get, Param, ParseIntPipe, Post } from '@nestjs/common';
import { changesOf, Kernel } from 'tidemark';
import { InjectKernel } from 'tidemark/nest';
import { placeOrder, type ShopTables, shipOrder } from './order.js';

const actor = (author: string) => ({ author, authenticated: true });

@Controller('orders')
export class OrdersController {
  constructor(
    private readonly shop: Kernel<ShopTables>,
    @InjectKernel('outlet') private readonly outlet: Kernel<ShopTables>,
  ) {}

  @Post()
  async place(@Body() { customer, cents }: { customer: string; cents: number }) {
    return placeOrder(this.shop, actor(customer), { customer, cents });
  }

  @Post('outlet')
  async placeInOutlet(@Body() { customer, cents }: { customer: string; cents: number }) {
    return placeOrder(this.outlet, actor(customer), { customer, cents });
  }

  @Post(':id/ship')
  async ship(@Param('id', ParseIntPipe) id: number) {
    const { tid } = await shipOrder(this.shop, actor('warehouse'), id);
    return { tid };
  }

  @Get(':id/history')
  async history(@Param('id') id: string) {
    return changesOf(this.shop.database, 'shop_order', id, { limit: 50 });
  }
}
