import { expect, it } from '@jest/globals';
import { Database } from '#libs/database';
import type { Dispatcher } from '#libs/dispatch';
import { EffectLedger, findEffect, listListeners, removeListener } from '#libs/effects';
import { createKernel } from '#libs/kernel';
import { resources, wiki } from '#libs/resources';
import { RecordedLog } from '../dispatch/harness.ts';
import { testDatabase } from '../support/test-database.ts';
import { waitUntil } from '../support/wait-until.ts';

it('a listener that was removed while its process was stopped for longer than its lease goes on where it was', async () => {
  const test = await testDatabase();
  const app = Database.open({ url: test.url });
  const writer = createKernel({ database: app, resources, log: new RecordedLog() });
  await writer.start();
  const write = (name: string) =>
    writer
      .transaction({ author: 'joe' }, (tx) => tx.create(wiki, { name, text: 't' }))
      .then(({ tid }) => tid as number);

  // A process whose lease and tail stand still when it is told so.
  const first = writer.dispatcher.lease as string;
  const stopped = { lease: undefined as string | undefined, position: { tid: 0 }, feed: () => feed };
  const closed = Promise.withResolvers<undefined>();
  const feed = { next: () => closed.promise, close: () => closed.resolve(undefined) };
  stopped.lease = first;
  const ledger = new EffectLedger({
    ...{ database: app, dispatcher: stopped as unknown as Dispatcher, origin: writer.origin, name: 'stopped' },
    ...{ log: new RecordedLog(), atomic: (work) => writer.atomic(work) },
  });
  ledger.listen({ name: 'stopped', start: 'beginning', onPrimary: () => undefined });
  await ledger.start();
  stopped.position = { tid: await write('Before') };
  await ledger.busy(stopped.position.tid);

  stopped.lease = undefined;
  const missed = await write('Missed');
  await writer.atomic(({ database }) => removeListener(database, 'stopped', true));
  stopped.position = { tid: missed };
  await ledger.lookOnce();
  expect(await listListeners(app)).toEqual([]);
  stopped.lease = first.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
  await app.query('UPDATE tidemark.processes SET lease = $1::uuid', [stopped.lease]);
  const done = async () => {
    await ledger.lookOnce();
    const { rows } = await app.query<{ id: string }>('SELECT max(id)::text AS id FROM wiki');
    const found = await findEffect(app, `${missed}:wiki:${rows[0]?.id}:stopped`).catch(() => undefined);
    return found?.state === 'done';
  };
  await waitUntil(done, 'the change that came meanwhile has its effect');
  await ledger.stop();
  await writer.stop();
  await app.close();
  await test.drop();
});
