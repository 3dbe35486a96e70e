import 'reflect-metadata';
import type { Effect } from '#libs/effects';
import type { JournalEntry, Resource } from '#libs/journal';
import { DEFAULT_KERNEL } from './kernel-token.ts';

/** How a process stands to a change: the primary has made it, a secondary has not. */
export type Standing = 'primary' | 'secondary';

export interface OnChangeOptions {
  // biome-ignore lint/suspicious/noExplicitAny: a resource of any row
  readonly resource: string | Resource<any>;
  /** Only changes of these fields; a CREATE and a DELETE always count. */
  readonly fields?: readonly string[];
  /**
   * primary (the default): in one process, that which has made the change if it lives, through the effect ledger: for side effects.
   * secondary: in all others, and in all for changes made past every kernel (psql, another program): for caches. both: each of the two.
   */
  readonly as?: Standing | 'both';
  /** Which kernel, where there are several. */
  readonly kernel?: string;
  /** What the listener is called in the ledger, the status and the log; default `Class.method`. Another name is another listener, which begins anew. */
  readonly name?: string;
}

/** What a listener method is told; as primary also of the effect that it is to bring about. */
export type ListenerMethod = (change: JournalEntry, as: Standing, effect?: Effect) => void | Promise<void>;

/** One use of the decorator. */
export interface OnChangeDeclaration {
  readonly resource: string;
  readonly fields: readonly string[] | undefined;
  readonly as: Standing | 'both';
  readonly kernel: string;
  readonly name: string | undefined;
}

const DECLARATIONS = Symbol.for('tidemark.on-change');

/**
 * Makes a method of a provider a listener: it is told of each change of a resource after the commit, those of one row in order. When it
 * throws it delays nobody; as primary it is called again after a growing pause. The application does not start when the resource or the
 * kernel is unknown.
 */
export function OnChange({ resource, as = 'primary', kernel = DEFAULT_KERNEL, fields, name }: OnChangeOptions) {
  const declaration: OnChangeDeclaration = {
    ...{ as, kernel, fields, name },
    resource: typeof resource === 'string' ? resource : resource.name,
  };
  return <M extends ListenerMethod>(
    _target: object,
    _method: string | symbol,
    descriptor: TypedPropertyDescriptor<M>,
  ) => {
    const method = descriptor.value as M;
    Reflect.defineMetadata(DECLARATIONS, [...declarationsOf(method), declaration], method);
  };
}

/** What a method was declared to listen to. */
export function declarationsOf(method: object): readonly OnChangeDeclaration[] {
  return Reflect.getOwnMetadata(DECLARATIONS, method) ?? [];
}
