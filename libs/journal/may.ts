import { KernelError } from '#libs/database';

/**
 * Whether whoever makes a change may do something with a resource: in the project that a row belongs to, or everywhere when it belongs to
 * none. A server makes it of its caller; a program that judges nobody leaves it out.
 */
export type May = (resource: string, action: string, project?: string | null) => boolean;

export interface JudgedRow {
  readonly resource: string;
  readonly action: string;
  /** The project of the row, as it is locked. */
  readonly project: string | null;
  /** The project that the change moves it to. */
  readonly to?: string | null | undefined;
  /** What is thrown for a row that does not exist. */
  missing(): KernelError;
}

/**
 * Judges a change of a locked row by the row's project, and by that which it moves to. A row that may not be read is missing like one that
 * does not exist; `forbidden` when it may be read, but the action is not allowed.
 */
export function checkRow(may: May | undefined, { resource, action, project, to, missing }: JudgedRow): void {
  if (may === undefined) return;
  if (!may(resource, 'read', project)) throw missing();
  for (const place of to === undefined ? [project] : [project, to]) {
    if (may(resource, action, place)) continue;
    const where = place === null ? '' : ` in the project ${JSON.stringify(place)}`;
    throw new KernelError('forbidden', `this needs the permission ${resource}:${action}${where}`);
  }
}
