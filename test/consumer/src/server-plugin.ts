import { definePlugin } from 'tidemark';
import { ticketListener, wikiListener } from 'tidemark/server';

/** A plugin of the server that is told what happens to pages and tickets, and says so. */
export default definePlugin({
  name: 'town-crier',
  config: { url: { sentence: 'where it is said', read: (text: string) => new URL(text) } },
  listeners: ({ config, kernel }) => {
    const say = async (text: string, key?: string) => {
      const answer = await fetch(config.url, { method: 'POST', body: JSON.stringify({ text, key }) });
      if (!answer.ok) throw new Error(`answered with ${answer.status}`);
    };
    return [
      wikiListener(kernel.database, {
        name: 'pages',
        pageRenamed: (page, oldName, { effect }) => say(`${oldName} is called ${page.name}`, effect?.key),
      }),
      ticketListener(kernel.database, {
        name: 'tickets',
        ticketChanged: (ticket, comment, author, old, { effect }) =>
          say(`${author}: ${ticket.id} ${old['priority']} → ${ticket.priority}, ${comment}`, effect?.key),
      }),
    ];
  },
});
