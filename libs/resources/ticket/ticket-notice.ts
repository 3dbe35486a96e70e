import type { Queryable } from '#libs/database';
import type { Concerned, Notice } from '#libs/listeners';
import { changeText, oneLine, valueText } from '../change-text.ts';
import type { OldValues, Told } from '../listening.ts';
import { TEXT_FIELDS, type Ticket, ticket } from './ticket.ts';
import { wordsOf } from './ticket-fields.ts';
import { selectUpdaters } from './ticket-notice.queries.ts';

/** What is told of a new ticket: to its owner, its reporter and those in cc. */
export function ticketCreatedNotice(created: Ticket, { change }: Told): Notice {
  const fields = TEXT_FIELDS.filter((name) => !['summary', 'description'].includes(name) && created[name] !== '');
  const custom = Object.entries(created.custom).map(([name, value]) => `  custom.${name}: ${valueText(value)}`);
  const text = [
    `${oneLine(change.author)} has opened ticket ${created.id}: ${created.summary}`,
    [...fields.map((name) => `  ${name}: ${created[name]}`), ...custom].join('\n'),
    created.description,
  ];
  return { ...noticeOf(created, change.author, text), reply: false, concerned: peopleOf(created, {}) };
}

/** What is told of a change of fields: also to the owner before, to those who were in cc, and to whoever changed or commented before. */
export async function ticketChangedNotice(
  db: Queryable,
  changed: Ticket,
  comment: string | null,
  old: OldValues,
  { change }: Told,
): Promise<Notice> {
  const { lines, diffs } = await changeText(change, ['comments']);
  const text = [
    `${oneLine(change.author)} has changed ticket ${changed.id}: ${changed.summary}`,
    lines.join('\n'),
    comment ?? '',
    ...diffs,
  ];
  const concerned = [...peopleOf(changed, old), ...(await updatersOf(db, changed, change.tid))];
  return { ...noticeOf(changed, change.author, text), concerned };
}

/** What is told of a comment: to the same people as of a change. */
export async function ticketCommentedNotice(
  db: Queryable,
  commented: Ticket,
  { number, text }: { number: number; text: string },
  { change }: Told,
): Promise<Notice> {
  const said = [`${oneLine(change.author)} has commented on ticket ${commented.id}: ${commented.summary}`];
  const concerned = [...peopleOf(commented, {}), ...(await updatersOf(db, commented, change.tid))];
  return { ...noticeOf(commented, change.author, [...said, `Comment ${number}:`, text]), concerned };
}

/** What is told of a ticket that is gone: to the same people as of a change. */
export async function ticketDeletedNotice(db: Queryable, deleted: Ticket, { change }: Told): Promise<Notice> {
  const text = [`${oneLine(change.author)} has deleted ticket ${deleted.id}: ${deleted.summary}`, change.comment ?? ''];
  const concerned = [...peopleOf(deleted, {}), ...(await updatersOf(db, deleted, change.tid))];
  return { ...noticeOf(deleted, change.author, text), concerned };
}

function noticeOf({ id, summary }: Ticket, author: string, parts: readonly string[]): Omit<Notice, 'concerned'> {
  return {
    ...{ author, resource: ticket.name, thread: `ticket-${id}`, subject: `#${id}: ${summary}`, reply: true },
    text: parts.filter((part) => part !== '').join('\n\n'),
  };
}

function peopleOf({ owner, reporter, cc }: Ticket, old: OldValues): Concerned[] {
  return [
    { who: owner, why: 'owner' },
    { who: valueText(old['owner']), why: 'previous owner' },
    { who: reporter, why: 'reporter' },
    { who: valueText(old['reporter']), why: 'previous reporter' },
    ...wordsOf(cc).map((who) => ({ who, why: 'one in cc' })),
    ...wordsOf(valueText(old['cc'])).map((who) => ({ who, why: 'one who was in cc' })),
  ].filter(({ who }) => who !== '');
}

async function updatersOf(db: Queryable, { id }: Ticket, before: number): Promise<Concerned[]> {
  return (await selectUpdaters(db, id, before)).map((who) => ({ who, why: 'one who changed it before' }));
}
