import type { Queryable } from '#libs/database';
import type { Effect, EffectListener } from '#libs/effects';
import type { JournalEntry } from '#libs/journal';
import type { MailSender, Notice } from '#libs/listeners';
import {
  pageChangedNotice,
  pageDeletedNotice,
  pageRenamedNotice,
  selectWatchers,
  type Told,
  ticketChangedNotice,
  ticketCommentedNotice,
  ticketCreatedNotice,
  ticketDeletedNotice,
  ticketListener,
  type WikiListener,
  wiki,
  wikiListener,
} from '#libs/resources';

/** What the listener is called in the ledger, and so in every key. */
export const MAIL = 'mail';
const CONCURRENCY = 5;

/** The listener that sends mail of what happens to tickets and pages. */
export function mailListener(database: Queryable, sender: MailSender): EffectListener {
  const pages = pageMail(database, sender);
  const tickets = ticketMail(database, sender);
  return {
    ...{ name: MAIL, resources: [...(pages.resources ?? []), ...(tickets.resources ?? [])], concurrency: CONCURRENCY },
    onPrimary: (entry: JournalEntry, effect: Effect) =>
      (entry.resource === wiki.name ? pages : tickets).onPrimary?.(entry, effect),
  };
}

function ticketMail(db: Queryable, sender: MailSender): EffectListener {
  return ticketListener(db, {
    name: MAIL,
    ticketCreated: (ticket, told) => send(sender, ticketCreatedNotice(ticket, told), told),
    ticketChanged: async (ticket, comment, _author, old, told) =>
      send(sender, await ticketChangedNotice(db, ticket, comment, old, told), told),
    ticketDeleted: async (ticket, told) => send(sender, await ticketDeletedNotice(db, ticket, told), told),
    ticketCommented: async (ticket, { number, text, old }, told) => {
      // like Trac: of what is edited or taken back nobody is told again
      if (old !== null || text === null) return;
      await send(sender, await ticketCommentedNotice(db, ticket, { number, text }, told), told);
    },
  });
}

function pageMail(db: Queryable, sender: MailSender): EffectListener {
  const listener = (watchers: readonly string[]): WikiListener => ({
    pageChanged: async (page, old, told) => send(sender, await pageChangedNotice(page, old, watchers, told), told),
    pageRenamed: async (page, oldName, told) =>
      send(sender, await pageRenamedNotice(page, oldName, watchers, told), told),
    pageDeleted: (page, told) => send(sender, pageDeletedNotice(page, watchers, told), told),
  });
  return {
    ...{ name: MAIL, resources: [wiki.name] },
    // Texts are large and watchers are few: nothing is read of a page that nobody watches.
    onPrimary: async (entry, effect) => {
      const watchers = await selectWatchers(db, entry.id);
      if (watchers.length === 0) return;
      await wikiListener(db, { name: MAIL, ...listener(watchers) }).onPrimary?.(entry, effect);
    },
  };
}

async function send(sender: MailSender, notice: Notice, { effect }: Told): Promise<void> {
  if (effect !== undefined) await sender.send(notice, effect);
}
