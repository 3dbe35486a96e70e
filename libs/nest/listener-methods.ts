import { type DiscoveryService, MetadataScanner } from '@nestjs/core';
import { KernelError } from '#libs/database';
import type { EffectListener } from '#libs/effects';
import type { Kernel } from '#libs/kernel';
import { declarationsOf, type ListenerMethod, type OnChangeDeclaration } from './on-change.ts';

/** A decorated method, with the object that it is called on. */
export interface ListenerMethodFound {
  readonly declaration: OnChangeDeclaration;
  readonly listener: EffectListener;
}

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];

/**
 * Finds the methods with @OnChange of all providers and controllers. Throws `configuration` for one whose class is made anew for each
 * request or user, and for two of one name.
 */
export function findListenerMethods(discovery: DiscoveryService): ListenerMethodFound[] {
  const found: ListenerMethodFound[] = [];
  const seen = new Set<object>();
  for (const wrapper of [...discovery.getProviders(), ...discovery.getControllers()]) {
    const { instance } = wrapper;
    if (typeof instance !== 'object' || instance === null || seen.has(instance)) continue;
    seen.add(instance);
    found.push(...methodsOf(wrapper, instance));
  }
  refuseTwins(found);
  return found;
}

/** Hangs the listeners of one kernel on it. Throws `configuration` when one names a resource that it does not have. */
export function addListeners(kernel: Kernel, name: string, methods: readonly ListenerMethodFound[]): void {
  for (const { declaration, listener } of methods.filter((method) => method.declaration.kernel === name)) {
    if (!kernel.resources.has(declaration.resource)) {
      const known = [...kernel.resources.keys()].join(', ') || 'none';
      throw new KernelError(
        'configuration',
        `${listener.name} listens to the resource ${declaration.resource}, which the kernel ${name} does not have: it has ${known}`,
      );
    }
    kernel.listen(listener);
  }
}

function methodsOf(wrapper: Wrapper, instance: object): ListenerMethodFound[] {
  const prototype = Object.getPrototypeOf(instance) as Record<string, ListenerMethod> | null;
  if (prototype === null || prototype === Object.prototype) return [];
  return new MetadataScanner().getAllMethodNames(prototype).flatMap((method) => {
    const declarations = declarationsOf(prototype[method] as ListenerMethod);
    const place = `${instance.constructor.name}.${method}`;
    if (declarations.length > 0) refuseScoped(wrapper, place);
    return declarations.map((declaration) => ({
      declaration,
      listener: listenerOf(declaration, place, declarations.length > 1, (...told) =>
        (instance as Record<string, ListenerMethod>)[method]?.(...told),
      ),
    }));
  });
}

function listenerOf(
  { as, fields, name, resource }: OnChangeDeclaration,
  place: string,
  several: boolean,
  tell: ListenerMethod,
): EffectListener {
  return {
    name: name ?? (several ? `${place}.${resource}` : place),
    resources: [resource],
    ...(fields && { fields }),
    ...(as !== 'secondary' && { onPrimary: (change, effect) => tell(change, 'primary', effect) }),
    ...(as !== 'primary' && { onSecondary: (change) => tell(change, 'secondary') }),
  };
}

function refuseScoped(wrapper: Wrapper, place: string): void {
  const fault = !wrapper.isDependencyTreeStatic()
    ? 'is made anew for each request, or depends on something that is'
    : wrapper.isTransient
      ? 'is transient: there is one for each that it is injected into'
      : undefined;
  if (fault === undefined) return;
  const advice = 'a listener belongs to the process, so its class must be a singleton';
  throw new KernelError('configuration', `${place} has @OnChange, but its class ${fault}: ${advice}`);
}

function refuseTwins(found: readonly ListenerMethodFound[]): void {
  const names = new Set<string>();
  for (const { declaration, listener } of found) {
    const name = `${declaration.kernel} ${listener.name}`;
    if (names.has(name)) {
      const advice = 'provide the class in one module only, or give them a name each';
      throw new KernelError('configuration', `two listeners are called ${listener.name}: ${advice}`);
    }
    names.add(name);
  }
}
