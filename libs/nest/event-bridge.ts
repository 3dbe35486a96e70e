import type { ModuleRef } from '@nestjs/core';
import { KernelError } from '#libs/database';
import type { Kernel } from '#libs/kernel';
import { changeEvent } from './changed-event.ts';

/**
 * Publishes every delivered change of a kernel's resources on the application's EventBus. Best effort: in memory, and an event whose
 * handler throws is lost. Throws `configuration` when there is no EventBus.
 */
export async function bridgeEvents(kernel: Kernel, name: string, modules: ModuleRef): Promise<void> {
  const bus = await eventBus(modules);
  kernel.dispatcher.listen({
    name: `events-of-${name}`,
    resources: [...kernel.resources.keys()],
    onDelivered: async (change, own) => {
      const Changed = changeEvent(change.resource, { kernel: name });
      await bus.publish(new Changed(change, own ? 'primary' : 'secondary'));
    },
  });
}

async function eventBus(modules: ModuleRef): Promise<{ publish(event: object): unknown }> {
  try {
    // an application without the bridge needs no @nestjs/cqrs
    const { EventBus } = await import('@nestjs/cqrs');
    return modules.get(EventBus, { strict: false });
  } catch (cause) {
    const problem = 'publishEvents needs the EventBus of @nestjs/cqrs: import CqrsModule.forRoot()';
    throw new KernelError('configuration', problem, { cause });
  }
}
