import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  compareEvents,
  newTask,
  reduceTask,
  replay,
  rollUp,
  type StatusKind,
  type TaskEvent,
  type TaskState,
} from '#libs/resources';

const KINDS = new Map<string, StatusKind>([
  ...([
    ['todo', 'open'],
    ['wip', 'wip'],
    ['paint', 'wip'],
    ['review', 'feedback'],
    ['retake', 'retake'],
  ] as const),
  ...([
    ['fix', 'retake'],
    ['done', 'done'],
    ['final', 'done'],
    ['omit', 'not_applicable'],
  ] as const),
]);

/** A moment of 2026 in UTC, by its minute. */
function at(minute: number): string {
  return new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();
}

/** What a task comes to that goes through statuses, a minute each. */
function through(...statuses: (string | null)[]): TaskState {
  return statuses.reduce(
    (state, status, n) => reduceTask(state, { number: n + 1, date: at(n), status }, KINDS),
    newTask('todo'),
  );
}

describe('a task after a comment', () => {
  it('has begun with the first work in progress, and with no later one', () => {
    expect(through('wip', 'review', 'paint')).toMatchObject({ status: 'paint', real_start_date: at(0) });
    expect(through('review', 'paint', 'wip').real_start_date).toBe(at(1));
  });

  it('ends when it is to be looked at, and goes on when it comes to anything that is not done', () => {
    expect(through('wip', 'review').real_end_date).toBe(at(1));
    expect(through('wip', 'review', 'done').real_end_date).toBe(at(1));
    expect(through('wip', 'review', 'review').real_end_date).toBe(at(1));
    for (const status of ['todo', 'wip', 'retake', 'omit']) expect(through('review', status).real_end_date).toBeNull();
    expect(through('review', 'done', 'wip').real_end_date).toBeNull();
  });

  it('is done at a date for as long as it is done, and has been reopened ever after', () => {
    expect(through('done')).toMatchObject({ done_date: at(0), reopened: false });
    expect(through('done', 'final')).toMatchObject({ done_date: at(1), reopened: false });
    expect(through('done', 'retake')).toMatchObject({ done_date: null, reopened: true });
    expect(through('done', 'todo', 'done')).toMatchObject({ done_date: at(2), reopened: true });
  });

  it('counts each change into a retake, also from one retake to another', () => {
    expect(through('retake', 'wip', 'retake').retake_count).toBe(2);
    expect(through('retake', 'fix').retake_count).toBe(2);
  });

  it('is unmoved by the status that it has already, and by a remark', () => {
    const before = through('review', 'retake');
    for (const status of ['retake', null]) {
      const after = reduceTask(before, { number: 3, date: at(9), status }, KINDS);
      expect(after).toEqual({ ...before, last_comment_date: at(9) });
    }
  });

  it('is told what a status means: an unknown one is refused', () => {
    expect(() => through('lost')).toThrow('there is no task status "lost"');
  });
});

const event = fc.record({
  date: fc.integer({ min: 0, max: 6 }).map(at),
  status: fc.option(fc.constantFrom(...KINDS.keys())),
});
const events = fc
  .array(event, { maxLength: 12 })
  .map((some): TaskEvent[] => some.map((one, n) => ({ ...one, number: n + 1 })));

describe('a replay', () => {
  it('is the live course of comments that are written in the order of their dates', () => {
    fc.assert(
      fc.property(events, (some) => {
        const sorted = [...some].sort(compareEvents);
        const live = sorted.reduce((state, one) => reduceTask(state, one, KINDS), newTask('todo'));
        expect(replay('todo', some, KINDS)).toEqual(live);
        expect(replay('todo', [...some].reverse(), KINDS)).toEqual(live);
      }),
    );
  });

  it('takes the later written of one date for the later', () => {
    const both: TaskEvent[] = [
      { number: 2, date: at(0), status: 'done' },
      { number: 1, date: at(0), status: 'wip' },
    ];
    expect(replay('todo', both, KINDS).status).toBe('done');
  });

  it('without a comment is what the task was without it', () => {
    expect(replay('todo', [], KINDS)).toEqual(newTask('todo'));
  });
});

describe('what tasks roll up to', () => {
  const tasks = (...statuses: string[]) => statuses.map((status) => ({ ...newTask('todo'), status }));
  const of = (...statuses: string[]) => rollUp({ not_applicable: false }, tasks(...statuses), KINDS);

  it('is final when all that apply are done, and there is one', () => {
    expect(of('done', 'final')).toBe('final');
    expect(of('done', 'omit')).toBe('final');
    expect(of('omit', 'omit')).toBe('waiting');
    expect(of()).toBe('waiting');
  });

  it('is in progress when any was begun', () => {
    expect(of('todo', 'wip')).toBe('in_progress');
    expect(of('todo', 'done')).toBe('in_progress');
    expect(of('todo', 'todo')).toBe('waiting');
  });

  it('goes back to in progress when what was done is reopened, whatever it comes to', () => {
    expect(rollUp({ not_applicable: false }, [through('done')], KINDS)).toBe('final');
    expect(rollUp({ not_applicable: false }, [through('done', 'todo')], KINDS)).toBe('in_progress');
    expect(rollUp({ not_applicable: false }, [through('wip', 'todo')], KINDS)).toBe('in_progress');
  });

  it('leaves alone what is not applicable itself', () => {
    expect(rollUp({ not_applicable: true }, tasks('done'), KINDS)).toBe('not_applicable');
  });
});
