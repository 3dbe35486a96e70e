import { describe, expect, test } from '@jest/globals';
import type { JournalEntry } from '#libs/journal';
import { RecentChanges } from '../../libs/projection/recent.ts';

const entry = (tid: number, id = 'a') => ({ tid, resource: 'item', id }) as JournalEntry;
const tids = (entries: readonly JournalEntry[] | undefined) => entries?.map(({ tid }) => tid);

describe('what a follower remembers of the tail', () => {
  test('is what was delivered between two tids, each change once and in order', () => {
    const recent = new RecentChanges({ tid: 10 });
    recent.add({ entries: [entry(11), entry(13)], position: { tid: 13 } });
    recent.add({ entries: [entry(14)], position: { tid: 16 } });
    expect(tids(recent.between(10, 16))).toEqual([11, 13, 14]);
    expect(tids(recent.between(11, 13))).toEqual([13]);
    expect(tids(recent.between(14, 16))).toEqual([]);
  });

  test('does not claim to know what came before it, nor what has still to come', () => {
    const recent = new RecentChanges({ tid: 10 });
    recent.add({ entries: [entry(11)], position: { tid: 11 } });
    expect(recent.between(9, 11)).toBeUndefined();
    expect(recent.between(10, 12)).toBeUndefined();
  });

  test('begins after a tid of which it saw only the end, and does not know one of which it saw only the beginning', () => {
    const recent = new RecentChanges({ tid: 10, resource: 'item', id: 'b' });
    recent.add({ entries: [entry(10, 'c'), entry(11)], position: { tid: 12, resource: 'item', id: 'b' } });
    expect(recent.between(9, 11)).toBeUndefined();
    expect(tids(recent.between(10, 11))).toEqual([11]);
    expect(recent.between(10, 12)).toBeUndefined();
    recent.add({ entries: [entry(12, 'c')], position: { tid: 12 } });
    expect(tids(recent.between(11, 12))).toEqual([12]);
  });

  test('ends with what is applied, so a checkpoint that is set back is read from the journal', () => {
    const recent = new RecentChanges({ tid: 10 });
    recent.add({ entries: [entry(11), entry(12)], position: { tid: 12 } });
    recent.forget(11);
    expect(recent.between(10, 12)).toBeUndefined();
    expect(tids(recent.between(11, 12))).toEqual([12]);
    recent.forget(20);
    recent.add({ entries: [entry(19), entry(21)], position: { tid: 21 } });
    expect(recent.between(12, 21)).toBeUndefined();
    expect(tids(recent.between(20, 21))).toEqual([21]);
  });

  test('is bounded: nothing of a bulk change is kept, also where it has come in parts', () => {
    const recent = new RecentChanges({ tid: 10 });
    const many = Array.from({ length: 501 }, (_, n) => entry(11, String(n)));
    recent.add({ entries: many, position: { tid: 11, resource: 'item', id: '500' } });
    recent.add({ entries: [entry(11, 'last'), entry(12)], position: { tid: 12 } });
    expect(recent.between(10, 12)).toBeUndefined();
    expect(tids(recent.between(11, 12))).toEqual([12]);
  });
});
