import { Injectable } from '@nestjs/common';
import type { JournalEntry } from 'tidemark';
import { OnChange } from 'tidemark/nest';
import { order } from './order.js';

/** Stands for a printer in the warehouse. */
@Injectable()
export class LabelPrinter {
  readonly printed: string[] = [];

  async print(label: string): Promise<void> {
    this.printed.push(label);
  }
}

@Injectable()
export class ShippingListener {
  /** What others have done to the orders, whichever program it was. */
  readonly seen: string[] = [];

  constructor(private readonly printer: LabelPrinter) {}

  /** In the process that has shipped the order, after the commit. */
  @OnChange({ resource: order, fields: ['status'] })
  async printLabel(change: JournalEntry): Promise<void> {
    if (change.values['status'] === 'shipped') await this.printer.print(`order ${change.id}`);
  }

  /** In all other processes. */
  @OnChange({ resource: order, as: 'secondary' })
  notice(change: JournalEntry): void {
    this.seen.push(`${change.author}: ${change.change} ${change.id}`);
  }

  @OnChange({ resource: order, kernel: 'outlet', as: 'both' })
  async countOutlet(change: JournalEntry, as: 'primary' | 'secondary'): Promise<void> {
    this.seen.push(`outlet, ${as}: ${change.change} ${change.id}`);
  }
}
