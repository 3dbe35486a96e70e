import { KernelError } from '#libs/database';

/** What an action does beside setting the status. */
export type Operation =
  /** The caller names the new owner. */
  | { readonly kind: 'set_owner' }
  /** The caller becomes the owner. */
  | { readonly kind: 'owner_to_self' }
  | { readonly kind: 'clear_owner' }
  /** The caller chooses one of these resolutions; the default is taken when none is given. */
  | { readonly kind: 'set_resolution'; readonly options: readonly string[]; readonly default?: string }
  | { readonly kind: 'clear_resolution' };

/** One way from some statuses to one status. */
export interface WorkflowAction {
  readonly name: string;
  readonly label: string;
  /** `*`: any status, also one that no action names. */
  readonly from: '*' | readonly string[];
  /** `*`: the status stays. */
  readonly to: string;
  readonly operations: readonly Operation[];
  /** What the caller must be permitted to do with tickets. */
  readonly permission: 'create' | 'modify';
}

/** Which ways tickets may go. */
export interface Workflow {
  /** The statuses that a new ticket may have; the first is the default. */
  readonly initial: readonly string[];
  readonly actions: readonly WorkflowAction[];
}

const KINDS: readonly string[] = ['set_owner', 'owner_to_self', 'clear_owner', 'set_resolution', 'clear_resolution'];
const RESOLUTIONS = ['fixed', 'invalid', 'wontfix', 'duplicate', 'worksforme'] as const;
const OPEN = ['new', 'assigned', 'accepted', 'reopened'] as const;

/** A status that no action names can be left by this one only: it leads back to the beginning. */
export const RESET = 'reset';

/** Trac's workflow: new, assigned or accepted, closed, reopened. */
export const defaultWorkflow: Workflow = defineWorkflow({
  initial: ['new', 'assigned'],
  actions: [
    action('leave', 'leave as it is', '*', '*'),
    action('accept', 'accept', OPEN, 'accepted', { kind: 'owner_to_self' }),
    action('reassign', 'assign to somebody', OPEN, 'assigned', { kind: 'set_owner' }),
    action('resolve', 'resolve', OPEN, 'closed', { kind: 'set_resolution', options: RESOLUTIONS, default: 'fixed' }),
    { ...action('reopen', 'reopen', ['closed'], 'reopened', { kind: 'clear_resolution' }), permission: 'create' },
  ],
});

/** Checks a workflow and freezes it. Throws `configuration` that lists everything that is wrong with it. */
export function defineWorkflow(workflow: Workflow): Workflow {
  const problems = [
    ...(workflow.initial.length === 0 ? ['a new ticket needs a status: initial is empty'] : []),
    ...workflow.initial.filter((status) => !isStatus(status)).map((status) => notStatus('initial', status)),
    ...workflow.actions.flatMap((each, n) => actionProblems(each, workflow.actions.slice(0, n))),
  ];
  if (problems.length > 0) {
    throw new KernelError('configuration', `the workflow cannot be used: ${problems.join('; ')}`, {
      errors: problems.map((message) => ({ path: 'workflow', message })),
    });
  }
  return Object.freeze({
    initial: Object.freeze([...workflow.initial]),
    actions: Object.freeze([...workflow.actions]),
  });
}

/** Every status that a workflow names. */
export function statusesOf({ initial, actions }: Workflow): ReadonlySet<string> {
  const named = actions.flatMap(({ from, to }) => [...(from === '*' ? [] : from), to]);
  return new Set([...initial, ...named.filter((status) => status !== '*')]);
}

function action(
  name: string,
  label: string,
  from: '*' | readonly string[],
  to: string,
  ...operations: Operation[]
): WorkflowAction {
  return { name, label, from, to, operations, permission: 'modify' };
}

function actionProblems(each: WorkflowAction, before: readonly WorkflowAction[]): string[] {
  const { name, from, to, operations, permission } = each;
  const where = `action ${JSON.stringify(name)}`;
  const statuses = [...(from === '*' ? [] : from), ...(to === '*' ? [] : [to])];
  const fields = operations.map(({ kind }) => (kind.endsWith('resolution') ? 'resolution' : 'owner'));
  return [
    ...(/^[a-z][a-z0-9_-]{0,49}$/.test(name) && name !== RESET ? [] : [`${where} has a name that cannot be used`]),
    ...(before.some((other) => other.name === name) ? [`two actions are called ${JSON.stringify(name)}`] : []),
    ...statuses.filter((status) => !isStatus(status)).map((status) => notStatus(where, status)),
    ...(from.length === 0 ? [`${where} starts from no status`] : []),
    ...(['create', 'modify'].includes(permission) ? [] : [`${where} needs the unknown permission ${permission}`]),
    ...(new Set(fields).size < fields.length ? [`${where} sets a field twice`] : []),
    ...operations.flatMap((operation) => operationProblems(operation, where)),
  ];
}

function operationProblems(operation: Operation, where: string): string[] {
  if (!KINDS.includes(operation.kind)) return [`${where} has the unknown operation ${operation.kind}`];
  if (operation.kind !== 'set_resolution') return [];
  const { options, default: usual } = operation;
  if (options.length === 0 || options.includes(''))
    return [`${where} needs resolutions to choose from, none of them empty`];
  return usual === undefined || options.includes(usual)
    ? []
    : [`${where} has a default that is none of its resolutions`];
}

function isStatus(status: string): boolean {
  return status !== '' && status !== '*' && status.trim() === status && status.length <= 200;
}

function notStatus(where: string, status: string): string {
  return `${where} names ${JSON.stringify(status)}, which is no status`;
}
