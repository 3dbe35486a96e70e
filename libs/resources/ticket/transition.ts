import { KernelError } from '#libs/database';
import { type Operation, RESET, statusesOf, type Workflow, type WorkflowAction } from './workflow.ts';

/** What of a ticket the workflow is about. */
export interface WorkflowState {
  readonly status: string;
  readonly resolution: string;
  readonly owner: string;
}

/** Who acts, and whether the permission table allows an action on tickets. */
export interface Caller {
  readonly user: string;
  may(permission: string): boolean;
}

/** What an action does to a field: sets it to a value, to one of some, or (neither) to one that the caller must give. */
export interface Setting {
  readonly field: 'owner' | 'resolution';
  readonly value?: string;
  readonly options?: readonly string[];
  readonly default?: string;
}

/** An action as it is offered to somebody for one ticket. */
export interface OfferedAction {
  readonly action: string;
  readonly label: string;
  readonly from: string;
  readonly to: string;
  readonly sets: readonly Setting[];
}

/** What a change asks of the workflow. */
export type Wanted = { readonly [field in 'action' | keyof WorkflowState]?: string | undefined };

/** What somebody may do with a ticket as it stands. */
export function offeredActions(workflow: Workflow, before: WorkflowState, caller: Caller): OfferedAction[] {
  return possible(workflow, before)
    .filter(({ permission }) => caller.may(permission))
    .map(({ name, label, to, operations }) => ({
      ...{ action: name, label, from: before.status, to: target(to, before) },
      sets: operations.map((operation) => setting(operation, caller)),
    }));
}

/**
 * The status, resolution and owner after a change, judged by the state before it. Throws `invalid` that names the actions that are
 * possible, or the value that an action cannot take, and `forbidden` for an action that the caller is not permitted.
 */
export function transition(workflow: Workflow, before: WorkflowState, wanted: Wanted, caller: Caller): WorkflowState {
  const taken = taking(workflow, before, wanted, caller);
  if (taken === undefined) {
    return { status: before.status, resolution: before.resolution, owner: wanted.owner ?? before.owner };
  }
  const outcomes = taken.map((action) => outcome(action, before, wanted, caller));
  const good = outcomes.find((one) => !('message' in one)) ?? outcomes[0];
  if (good === undefined || 'message' in good) throw refusal(good?.path ?? 'action', good?.message ?? 'no such action');
  return good;
}

/** The actions that lead to what is wanted; undefined when nothing of the workflow is to change. */
function taking(
  workflow: Workflow,
  before: WorkflowState,
  wanted: Wanted,
  caller: Caller,
): WorkflowAction[] | undefined {
  const { action, status, resolution } = wanted;
  const staying = (status ?? before.status) === before.status;
  if (action === undefined && staying && (resolution ?? before.resolution) === before.resolution) return undefined;
  const fitting = possible(workflow, before).filter((each) => {
    const to = target(each.to, before);
    if (action !== undefined) return each.name === action && (status ?? to) === to;
    return to === (status ?? before.status) && (!staying || setsResolution(each));
  });
  const permitted = fitting.filter(({ permission }) => caller.may(permission));
  if (permitted.length > 0) return permitted;
  if (fitting.length > 0) {
    throw new KernelError('forbidden', `${fitting[0]?.name} needs the permission ticket:${fitting[0]?.permission}`);
  }
  const path = action !== undefined ? 'action' : staying ? 'resolution' : 'status';
  throw refusal(path, `${what(path, before, wanted)}: ${offer(workflow, before, caller)}`);
}

function possible(workflow: Workflow, { status }: WorkflowState): WorkflowAction[] {
  const actions = workflow.actions.filter(({ from }) => from === '*' || from.includes(status));
  return statusesOf(workflow).has(status) ? actions : [...actions, resetting(workflow)];
}

function resetting({ initial }: Workflow): WorkflowAction {
  const operations: Operation[] = [{ kind: 'clear_resolution' }];
  return { name: RESET, label: 'reset', from: '*', to: initial[0] as string, operations, permission: 'modify' };
}

function outcome(
  { name, to, operations }: WorkflowAction,
  before: WorkflowState,
  wanted: Wanted,
  caller: Caller,
): WorkflowState | { path: 'owner' | 'resolution'; message: string } {
  const after = { status: target(to, before), owner: wanted.owner ?? before.owner, resolution: before.resolution };
  for (const operation of operations) {
    const { field, value, options, default: usual } = setting(operation, caller);
    const given = wanted[field];
    const result = value ?? given ?? usual ?? '';
    if (value !== undefined && given !== undefined && given !== value) {
      return { path: field, message: `${name} sets the ${field} to ${JSON.stringify(value)}` };
    }
    if (value === undefined && !(options?.includes(result) ?? result !== '')) {
      return { path: field, message: `${name} needs ${options ? `one of ${options.join(', ')}` : 'a name'}` };
    }
    after[field] = result;
  }
  const asked = wanted.resolution;
  if (asked !== undefined && asked !== after.resolution) {
    return { path: 'resolution', message: `${name} does not set the resolution` };
  }
  return after;
}

function setting(operation: Operation, caller: Caller): Setting {
  switch (operation.kind) {
    case 'set_owner':
      return { field: 'owner' };
    case 'owner_to_self':
      return { field: 'owner', value: caller.user };
    case 'clear_owner':
      return { field: 'owner', value: '' };
    case 'set_resolution':
      return {
        ...{ field: 'resolution', options: operation.options },
        ...(operation.default === undefined ? {} : { default: operation.default }),
      };
    case 'clear_resolution':
      return { field: 'resolution', value: '' };
  }
}

function setsResolution({ operations }: WorkflowAction): boolean {
  return operations.some(({ kind }) => kind.endsWith('resolution'));
}

function target(to: string, { status }: WorkflowState): string {
  return to === '*' ? status : to;
}

function what(path: string, before: WorkflowState, wanted: Wanted): string {
  const from = `a ticket that is ${JSON.stringify(before.status)}`;
  if (path === 'resolution') return `the resolution of ${from} cannot be set to ${JSON.stringify(wanted.resolution)}`;
  if (path === 'status') return `${from} cannot become ${JSON.stringify(wanted.status)}`;
  const to = wanted.status === undefined ? '' : ` to become ${JSON.stringify(wanted.status)}`;
  return `${JSON.stringify(wanted.action)} is not possible with ${from}${to}`;
}

function offer(workflow: Workflow, before: WorkflowState, caller: Caller): string {
  const offered = offeredActions(workflow, before, caller).map(({ action, to }) => `${action} (to ${to})`);
  return offered.length === 0 ? 'nothing is possible' : `possible are ${offered.join(', ')}`;
}

function refusal(path: string, message: string): KernelError {
  return new KernelError('invalid', message, { errors: [{ path, message }] });
}
