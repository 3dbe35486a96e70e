import { describe, expect, test } from '@jest/globals';
import type { JournalEntry, Position } from '#libs/journal';
import { RecentChanges } from '../../libs/projection/recent.ts';

const entry = (tid: number, id = 'a') => ({ tid, resource: 'item', id }) as JournalEntry;
const batch = (entries: JournalEntry[], position: Position, bytes = 0) => ({ entries, bytes, position });
const tids = (entries: readonly JournalEntry[] | undefined) => entries?.map(({ tid }) => tid);

describe('what a follower remembers of the tail', () => {
  test('is what was delivered between two tids, each change once and in order', () => {
    const recent = new RecentChanges({ tid: 10 });
    recent.add(batch([entry(11), entry(13)], { tid: 13 }));
    recent.add(batch([entry(14)], { tid: 16 }));
    expect(tids(recent.between(10, 16))).toEqual([11, 13, 14]);
    expect(tids(recent.between(11, 13))).toEqual([13]);
    expect(tids(recent.between(14, 16))).toEqual([]);
  });

  test('does not claim to know what came before it, nor what has still to come', () => {
    const recent = new RecentChanges({ tid: 10 });
    recent.add(batch([entry(11)], { tid: 11 }));
    expect(recent.between(9, 11)).toBeUndefined();
    expect(recent.between(10, 12)).toBeUndefined();
  });

  test('begins after a tid of which it saw only the end, and does not know one of which it saw only the beginning', () => {
    const recent = new RecentChanges({ tid: 10, resource: 'item', id: 'b' });
    recent.add(batch([entry(10, 'c'), entry(11)], { tid: 12, resource: 'item', id: 'b' }));
    expect(recent.between(9, 11)).toBeUndefined();
    expect(tids(recent.between(10, 11))).toEqual([11]);
    expect(recent.between(10, 12)).toBeUndefined();
    recent.add(batch([entry(12, 'c')], { tid: 12 }));
    expect(tids(recent.between(11, 12))).toEqual([12]);
  });

  test('ends with what is applied, so a checkpoint that is set back is read from the journal', () => {
    const recent = new RecentChanges({ tid: 10 });
    recent.add(batch([entry(11), entry(12)], { tid: 12 }));
    recent.forget(11);
    expect(recent.between(10, 12)).toBeUndefined();
    expect(tids(recent.between(11, 12))).toEqual([12]);
    recent.forget(20);
    recent.add(batch([entry(19), entry(21)], { tid: 21 }));
    expect(recent.between(12, 21)).toBeUndefined();
    expect(tids(recent.between(20, 21))).toEqual([21]);
  });

  test('is bounded: nothing of a bulk change is kept, also where it has come in parts', () => {
    const recent = new RecentChanges({ tid: 10 });
    const many = Array.from({ length: 501 }, (_, n) => entry(11, String(n)));
    recent.add(batch(many, { tid: 11, resource: 'item', id: '500' }));
    recent.add(batch([entry(11, 'last'), entry(12)], { tid: 12 }));
    expect(recent.between(10, 12)).toBeUndefined();
    expect(tids(recent.between(11, 12))).toEqual([12]);
  });

  test('is bounded by what it takes, too: of large changes nothing is kept while they cannot be applied', () => {
    const recent = new RecentChanges({ tid: 10 });
    const third = 3 * 1024 * 1024;
    for (const tid of [11, 12]) recent.add(batch([entry(tid)], { tid }, third));
    expect(tids(recent.between(10, 12))).toEqual([11, 12]);
    recent.add(batch([entry(13)], { tid: 13 }, third));
    expect(recent.between(10, 13)).toBeUndefined();
    for (let tid = 14; tid < 20; tid++) {
      recent.add(batch([entry(tid)], { tid }, third));
      expect(tids(recent.between(tid - 1, tid))).toEqual([tid]);
      recent.forget(tid);
    }
    recent.add(batch([], { tid: 20 }, 100 * third));
    expect(tids(recent.between(19, 20))).toEqual([]);
  });
});
