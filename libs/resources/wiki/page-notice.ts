import type { Notice } from '#libs/listeners';
import { diffText, oneLine } from '../change-text.ts';
import type { OldValues, Told } from '../listening.ts';
import { type Page, wiki } from './wiki.ts';

/** What is told of a change of a page to those who watch it. */
export async function pageChangedNotice(
  page: Page,
  old: OldValues,
  watchers: readonly string[],
  told: Told,
): Promise<Notice> {
  const parts = await textParts(page, old);
  return noticeOf(page, watchers, told, `has changed the page ${page.name}`, parts);
}

/** What is told of a page that has another name, and perhaps another text. */
export async function pageRenamedNotice(
  page: Page,
  oldName: string,
  watchers: readonly string[],
  told: Told,
): Promise<Notice> {
  const { text } = told.change.fields;
  const parts = await textParts(page, text ? { text: text.old } : {});
  return noticeOf(page, watchers, told, `has renamed the page ${oldName} to ${page.name}`, parts);
}

/** What is told of a page that is gone. */
export function pageDeletedNotice(page: Page, watchers: readonly string[], told: Told): Notice {
  return noticeOf(page, watchers, told, `has deleted the page ${page.name}`, []);
}

async function textParts({ version, text, readonly }: Page, old: OldValues): Promise<string[]> {
  const parts: string[] = [];
  if (old['readonly'] !== undefined) parts.push(`It is ${readonly ? 'readonly' : 'writable'} now.`);
  const before = old['text'];
  if (before === undefined) return parts;
  if (typeof before !== 'string' || text === null) return [...parts, 'Its contents were or are no text.'];
  return [...parts, await diffText('text', before, text, [`version ${version - 1}`, `version ${version}`])];
}

function noticeOf(
  { id, name }: Page,
  watchers: readonly string[],
  { change: { author, comment } }: Told,
  what: string,
  parts: readonly string[],
): Notice {
  return {
    ...{ author, resource: wiki.name, thread: `wiki-${id}`, subject: `Wiki: ${name}`, reply: false },
    concerned: watchers.map((who) => ({ who, why: 'one who watches the page' })),
    text: [`${oneLine(author)} ${what}`, comment ?? '', ...parts].filter((part) => part !== '').join('\n\n'),
  };
}
