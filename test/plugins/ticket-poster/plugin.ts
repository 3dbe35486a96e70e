import { definePlugin, defineResource, type Effect, type JournalEntry } from 'tidemark';

const ticketPost = defineResource({ name: 'ticket_post', key: 'ticket', versioned: false });

export default definePlugin({
  name: 'ticket-poster',
  config: {
    url: { sentence: 'where changes of tickets are posted to', read: httpUrl },
    patience: { sentence: 'how many seconds an answer may take', fallback: '10', read: Number },
  },
  migrations: new URL('migrations/', import.meta.url),
  resources: [ticketPost],
  permissions: {
    ticket_post: { read: ['coordinator', 'see what was posted of tickets, and how it was answered'] },
  },
  listeners: ({ config, log }) => {
    log.info({ host: config.url.host }, 'changes of tickets are posted');
    return [
      {
        name: 'post',
        resources: ['ticket'],
        attempts: 10,
        async onPrimary(change, effect) {
          const status = await post(config, change, effect);
          await remember(change, effect, status);
        },
      },
    ];
  },
});

/** Throws when it was not taken: then it is tried again, later and perhaps by another process, under the same key. */
async function post(to: { url: URL; patience: number }, change: JournalEntry, effect: Effect): Promise<number> {
  const { id, tid, time, author, comment, values } = change;
  const answer = await fetch(to.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': effect.key },
    body: JSON.stringify({ ticket: id, change: change.change, tid, time, author, comment, values }),
    signal: AbortSignal.timeout(to.patience * 1_000),
  });
  await answer.body?.cancel();
  if (!answer.ok) throw new Error(`${to.url.host} answered with ${answer.status}`);
  return answer.status;
}

/** In one transaction with the news that the effect is done: a row for each ticket that was posted, whatever dies when. */
async function remember({ id, tid }: JournalEntry, effect: Effect, status: number): Promise<void> {
  await effect.commit((writer) =>
    writer.transaction({ author: 'ticket-poster' }, (tx) => {
      const insert = writer.db.insertInto('ticket_post').values({ ticket: id, tid, status });
      tx.stage(insert.onConflict((row) => row.column('ticket').doUpdateSet({ tid, status })));
    }),
  );
}

function httpUrl(text: string): URL {
  if (!URL.canParse(text) || !/^https?:/.test(text))
    throw new Error('it is no address such as https://hooks.example.org/tickets');
  return new URL(text);
}
