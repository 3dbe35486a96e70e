import { expect, it } from '@jest/globals';
import { gathered, type Queryable } from '#libs/database';

const nobody: Queryable = { query: () => Promise.reject(new Error('nobody asks')) };

function lengths() {
  const asked: string[][] = [];
  const load = gathered<string, number>(async (_, keys) => {
    asked.push(keys);
    if (keys.includes('bad')) throw new Error('not this one');
    return new Map(keys.filter((key) => key !== 'missing').map((key) => [key, key.length]));
  });
  return { asked, load };
}

it('asks at once for what is looked up in one turn, each key once', async () => {
  const { asked, load } = lengths();
  const all = await Promise.all(['a', 'bb', 'missing', 'a'].map((key) => load(nobody, key)));
  expect(all).toEqual([1, 2, undefined, 1]);
  expect(asked).toEqual([['a', 'bb', 'missing']]);
});

it('asks anew in another turn: nothing is kept', async () => {
  const { asked, load } = lengths();
  await load(nobody, 'a');
  await load(nobody, 'a');
  expect(asked).toEqual([['a'], ['a']]);
});

it('keeps databases apart', async () => {
  const { asked, load } = lengths();
  await Promise.all([load(nobody, 'a'), load({ ...nobody }, 'b')]);
  expect(asked).toEqual([['a'], ['b']]);
});

it('tells everyone of a statement that fails, and goes on', async () => {
  const { load } = lengths();
  const outcomes = await Promise.allSettled([load(nobody, 'a'), load(nobody, 'bad')]);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await expect(load(nobody, 'a')).resolves.toBe(1);
});
