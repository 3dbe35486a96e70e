import { describe, expect, it } from '@jest/globals';
import { KernelError } from '#libs/database';
import { defaultWorkflow, defineWorkflow, type Workflow } from '#libs/resources';
import { type Caller, offeredActions, transition, type Wanted } from '../../libs/resources/ticket/transition.ts';

const joe: Caller = { user: 'joe', may: () => true };
const fresh = { status: 'new', resolution: '', owner: 'ann' };
const closed = { status: 'closed', resolution: 'fixed', owner: 'ann' };

function attempt(before: typeof fresh, wanted: Wanted, { workflow = defaultWorkflow, caller = joe } = {}) {
  try {
    return transition(workflow, before, wanted, caller);
  } catch (error) {
    const { code, errors, message } = error as KernelError;
    return [code, errors[0]?.path, message];
  }
}

describe("Trac's workflow", () => {
  it.each<[before: typeof fresh, wanted: Wanted, after: object]>([
    [fresh, {}, fresh],
    [fresh, { owner: 'bob' }, { ...fresh, owner: 'bob' }],
    [fresh, { action: 'leave', owner: '' }, { ...fresh, owner: '' }],
    [fresh, { status: 'accepted' }, { ...fresh, status: 'accepted', owner: 'joe' }],
    [fresh, { action: 'accept', owner: 'joe' }, { ...fresh, status: 'accepted', owner: 'joe' }],
    [fresh, { status: 'assigned', owner: 'bob' }, { ...fresh, status: 'assigned', owner: 'bob' }],
    [fresh, { status: 'closed' }, closed],
    [
      fresh,
      { action: 'resolve', resolution: 'wontfix', owner: 'bob' },
      { status: 'closed', resolution: 'wontfix', owner: 'bob' },
    ],
    [closed, { status: 'closed', resolution: 'fixed' }, closed],
    [closed, { action: 'reopen' }, { ...fresh, status: 'reopened' }],
    [closed, { status: 'reopened', resolution: '' }, { ...fresh, status: 'reopened' }],
    [{ ...fresh, status: 'reopened' }, { action: 'accept' }, { ...fresh, status: 'accepted', owner: 'joe' }],
  ])('leads from %j by %j to %j', (before, wanted, after) => {
    expect(attempt(before, wanted)).toEqual(after);
  });

  it.each<[before: typeof fresh, wanted: Wanted, path: string, message: RegExp]>([
    [
      fresh,
      { status: 'reopened' },
      'status',
      /cannot become "reopened": possible are leave \(to new\), accept \(to accepted\)/,
    ],
    [closed, { status: 'new' }, 'status', /possible are leave \(to closed\), reopen \(to reopened\)$/],
    [closed, { resolution: 'wontfix' }, 'resolution', /of a ticket that is "closed" cannot be set to "wontfix"/],
    [fresh, { resolution: 'fixed' }, 'resolution', /cannot be set/],
    [fresh, { action: 'reopen' }, 'action', /"reopen" is not possible/],
    [fresh, { action: 'accept', status: 'closed' }, 'action', /to become "closed"/],
    [fresh, { action: 'resolve', resolution: '' }, 'resolution', /one of fixed/],
    [fresh, { action: 'reassign' }, 'owner', /reassign needs a name/],
    [fresh, { action: 'reassign', owner: '' }, 'owner', /reassign needs a name/],
    [fresh, { action: 'accept', owner: 'ann' }, 'owner', /accept sets the owner to "joe"/],
    [fresh, { action: 'accept', resolution: 'fixed' }, 'resolution', /accept does not set the resolution/],
    [closed, { action: 'reopen', resolution: 'fixed' }, 'resolution', /reopen sets the resolution to ""/],
    [fresh, { action: 'reset' }, 'action', /not possible/],
  ])('does not lead from %j by %j', (before, wanted, path, message) => {
    expect(attempt(before, wanted)).toEqual(['invalid', path, expect.stringMatching(message)]);
  });

  it('lets only those reopen who may create, and offers it to nobody else', () => {
    const caller: Caller = { user: 'ann', may: (permission) => permission === 'modify' };
    expect(attempt(closed, { status: 'reopened' }, { caller })).toEqual([
      ...['forbidden', undefined, 'reopen needs the permission ticket:create'],
    ]);
    expect(offeredActions(defaultWorkflow, closed, caller).map(({ action }) => action)).toEqual(['leave']);
  });

  it('leads a ticket out of a status that is no longer there, to the beginning', () => {
    const lost = { status: 'in testing', resolution: 'odd', owner: 'ann' };
    expect(offeredActions(defaultWorkflow, lost, joe)).toEqual([
      { action: 'leave', label: 'leave as it is', from: 'in testing', to: 'in testing', sets: [] },
      { action: 'reset', label: 'reset', from: 'in testing', to: 'new', sets: [{ field: 'resolution', value: '' }] },
    ]);
    expect(attempt(lost, { owner: 'bob' })).toEqual({ ...lost, owner: 'bob' });
    expect(attempt(lost, { action: 'reset' })).toEqual(fresh);
    expect(attempt(lost, { status: 'new' })).toEqual(fresh);
  });
});

describe('a workflow of one’s own', () => {
  const action = (over: object) => ({
    ...{ name: 'go', label: 'go', from: ['a'], to: 'b', operations: [], permission: 'modify' as const },
    ...over,
  });

  it('may correct a resolution, and choose between two ways to one status', () => {
    const workflow = defineWorkflow({
      initial: ['a'],
      actions: [
        action({ operations: [{ kind: 'set_resolution', options: ['done'] }] }),
        action({
          name: 'drop',
          operations: [{ kind: 'set_resolution', options: ['dropped'] }, { kind: 'clear_owner' }],
        }),
        action({
          name: 'correct',
          from: ['b'],
          operations: [{ kind: 'set_resolution', options: ['done', 'dropped'] }],
        }),
      ],
    } as Workflow);
    const before = { status: 'a', resolution: '', owner: 'ann' };
    expect(attempt(before, { status: 'b' }, { workflow })).toEqual(['invalid', 'resolution', 'go needs one of done']);
    const dropped = { status: 'b', resolution: 'dropped', owner: '' };
    expect(attempt(before, { status: 'b', resolution: 'dropped' }, { workflow })).toEqual(dropped);
    expect(attempt(dropped, { resolution: 'done' }, { workflow })).toEqual({ ...dropped, resolution: 'done' });
  });

  it.each<[wrong: object, message: string]>([
    [{ initial: [] }, 'initial is empty'],
    [{ initial: [''] }, 'initial names "", which is no status'],
    [{ actions: [action({ name: 'Go!' })] }, 'action "Go!" has a name that cannot be used'],
    [{ actions: [action({ name: 'reset' })] }, 'action "reset" has a name that cannot be used'],
    [{ actions: [action({}), action({})] }, 'two actions are called "go"'],
    [{ actions: [action({ from: [] })] }, 'action "go" starts from no status'],
    [{ actions: [action({ from: ['*'] })] }, 'action "go" names "*", which is no status'],
    [{ actions: [action({ to: ' b' })] }, 'action "go" names " b", which is no status'],
    [{ actions: [action({ permission: 'rule' })] }, 'unknown permission rule'],
    [{ actions: [action({ operations: [{ kind: 'set_owner' }, { kind: 'clear_owner' }] })] }, 'sets a field twice'],
    [
      { actions: [action({ operations: [{ kind: 'set_resolution', options: [] }] })] },
      'needs resolutions to choose from',
    ],
    [
      { actions: [action({ operations: [{ kind: 'set_resolution', options: ['a'], default: 'b' }] })] },
      'none of its resolutions',
    ],
    [{ actions: [action({ operations: [{ kind: 'explode' }] })] }, 'the unknown operation explode'],
  ])('is refused when it is wrong: %j', (wrong, message) => {
    const define = () => defineWorkflow({ initial: ['a'], actions: [], ...wrong } as Workflow);
    expect(define).toThrow(KernelError);
    expect(define).toThrow(message);
  });
});
