import { Inject } from '@nestjs/common';
import { Kernel } from '#libs/kernel';

/** The kernel of an application that has one. */
export const DEFAULT_KERNEL = 'default';

/** Under what a kernel is provided: the class Kernel for the default one, so that it needs no @InjectKernel. */
export function kernelToken(name: string = DEFAULT_KERNEL): string | typeof Kernel {
  return name === DEFAULT_KERNEL ? Kernel : `tidemark kernel ${name}`;
}

/** Injects the kernel of that name, as `TidemarkModule.forRoot({ name })` has it. */
export function InjectKernel(name?: string): PropertyDecorator & ParameterDecorator {
  return Inject(kernelToken(name));
}
