import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, jest } from '@jest/globals';
import { createKernel } from '#libs/kernel';
import { settled } from '#libs/testing';
import { harness, ITEM } from '../dispatch/harness.ts';
import { PATIENTLY, waitUntil } from '../support/wait-until.ts';

it('is busy with a change for as long as one of several looks at a time works on it', async () => {
  const h = await harness(ITEM);
  const kernel = createKernel({ database: h.app, resources: [], log: h.log });
  const done = new Set<number>();
  kernel.listen({ name: 'quick', onPrimary: ({ tid }) => void done.add(tid) });
  try {
    await kernel.start();
    await settled(kernel, PATIENTLY);
    for (let id = 1; id <= 20; id += 1) {
      const tid = await h.change(`INSERT INTO item VALUES (${id})`);
      await kernel.dispatcher.waitFor(tid, PATIENTLY);
      const looks = Array.from({ length: 5 }, async () => {
        while ((await kernel.effects.busy(tid)).length > 0) await delay(1);
        return done.has(tid);
      });
      expect(await Promise.all(looks)).toEqual([true, true, true, true, true]);
    }
  } finally {
    await kernel.stop();
    await h.close();
  }
});

it('gives back what it has taken and cannot read', async () => {
  const h = await harness(ITEM);
  const kernel = createKernel({ database: h.app, resources: [], log: h.log });
  const done: string[] = [];
  kernel.listen({ name: 'patient', onPrimary: ({ id }, { attempt }) => void done.push(`${id} at attempt ${attempt}`) });
  const query = h.app.query.bind(h.app);
  let failures = 0;
  jest.spyOn(h.app, 'query').mockImplementation((text, values, name) => {
    if (name !== 'tidemark_entries_at' || failures > 0) return query(text, values, name);
    failures += 1;
    return Promise.reject(new Error('the connection broke'));
  });
  try {
    await kernel.start();
    await settled(kernel, PATIENTLY);
    await h.change('INSERT INTO item VALUES (1)');
    await waitUntil(() => done.length > 0, 'the effect has run');
    expect([failures, done]).toEqual([1, ['1 at attempt 2']]);
  } finally {
    jest.restoreAllMocks();
    await kernel.stop();
    await h.close();
  }
});
