import type { TestServer } from './server-fixture.ts';

/** How tests of tickets ask a server, which may be started later. */
export function ticketRequests(server: () => TestServer) {
  return {
    open: async (fields: object = {}) => {
      const answer = await server().send('POST', '/tickets', { summary: 'It does not work', ...fields });
      return { answer, ticket: await answer.json() };
    },
    patch: (id: string, body: unknown, headers: Record<string, string> = {}) =>
      server().send('PATCH', `/tickets/${id}`, body, headers),
    items: async (path: string) => (await (await server().ask(path)).json()).items,
    /** The highest tid in the journal. */
    head: async () => (await server().database.query('SELECT max(tid) AS tid FROM tidemark.journal')).rows[0]?.['tid'],
  };
}
