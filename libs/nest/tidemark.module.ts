import {
  ConfigurableModuleBuilder,
  Inject,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ModuleRef } from '@nestjs/core';
import { KernelError } from '#libs/database';
import { createKernel, type Kernel, type KernelOptions } from '#libs/kernel';
import { bridgeEvents } from './event-bridge.ts';
import { DEFAULT_KERNEL, kernelToken } from './kernel-token.ts';
import { addListeners, findListenerMethods, type ListenerMethodFound } from './listener-methods.ts';
import { loggerLog } from './logger-log.ts';

/** What a kernel is made of, or a kernel that is made already; its connections are then closed by whoever made it. */
// biome-ignore lint/suspicious/noExplicitAny: a module cannot carry the host's tables; the injected Kernel<DB> does
export type TidemarkOptions = (KernelOptions<any> | { readonly kernel: Kernel<any> }) & {
  /** Publishes delivered changes on the EventBus of @nestjs/cqrs, too; default false. */
  readonly publishEvents?: boolean;
};

/** What forRootAsync() must know beforehand. */
export interface TidemarkExtras {
  /** The kernel's name, where there are several; default `default`. */
  readonly name?: string;
  /** Whether the kernel can be injected everywhere; default true. */
  readonly isGlobal?: boolean;
}

const OPTIONS = Symbol('the options of a TidemarkModule');
const KERNEL_NAME = Symbol('the name of the kernel');

const { ConfigurableModuleClass } = new ConfigurableModuleBuilder<TidemarkOptions>({ optionsInjectionToken: OPTIONS })
  .setClassMethodName('forRoot')
  .setExtras<TidemarkExtras>({ name: DEFAULT_KERNEL, isGlobal: true }, (definition, extras) => {
    const { name = DEFAULT_KERNEL, isGlobal = true } = extras;
    const token = kernelToken(name);
    return {
      ...definition,
      global: isGlobal,
      providers: [
        ...(definition.providers ?? []),
        { provide: KERNEL_NAME, useValue: name },
        { provide: token, inject: [OPTIONS], useFactory: (options) => kernelOf(options, name) },
      ],
      exports: [token],
    };
  })
  .build();

/**
 * A kernel in a Nest application: `TidemarkModule.forRoot({ pool, resources })` in the root module, once for each database. It starts when
 * the application does, after the methods with @OnChange have been found, and stops after the last request. The application does not start
 * when the database does not fit, or a listener names what is not there.
 */
@Module({ imports: [DiscoveryModule] })
export class TidemarkModule extends ConfigurableModuleClass implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #kernel: Kernel;

  constructor(
    @Inject(OPTIONS) private readonly options: TidemarkOptions,
    @Inject(KERNEL_NAME) private readonly name: string,
    private readonly modules: ModuleRef,
    private readonly discovery: DiscoveryService,
  ) {
    super();
    this.#kernel = modules.get(kernelToken(name));
  }

  async onApplicationBootstrap(): Promise<void> {
    try {
      const methods = findListenerMethods(this.discovery);
      this.#refuseUnknownKernels(methods);
      addListeners(this.#kernel, this.name, methods);
      if (this.options.publishEvents) await bridgeEvents(this.#kernel, this.name, this.modules);
      await this.#kernel.start();
    } catch (error) {
      await this.#leave();
      throw error;
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#leave();
  }

  #leave(): Promise<void> {
    return 'kernel' in this.options ? this.#kernel.stop() : this.#kernel.close();
  }

  #refuseUnknownKernels(methods: readonly ListenerMethodFound[]): void {
    const names = this.discovery
      .getProviders()
      .filter((wrapper) => wrapper.token === KERNEL_NAME)
      .map((wrapper) => wrapper.instance as string);
    const twin = names.find((name, n) => names.indexOf(name) !== n);
    if (twin !== undefined) throw new KernelError('configuration', `two kernels are called ${twin}: give them names`);
    const lost = methods.find(({ declaration }) => !names.includes(declaration.kernel));
    if (lost === undefined) return;
    const { declaration, listener } = lost;
    const known = `there is ${names.join(', ')}`;
    throw new KernelError(
      'configuration',
      `${listener.name} listens to the kernel ${declaration.kernel}, which does not exist: ${known}`,
    );
  }
}

function kernelOf(options: TidemarkOptions, name: string): Kernel {
  if ('kernel' in options) return options.kernel;
  const { publishEvents: _, ...rest } = options;
  const called = name === DEFAULT_KERNEL ? {} : { name };
  return createKernel({ log: loggerLog('Tidemark'), ...called, ...rest });
}
