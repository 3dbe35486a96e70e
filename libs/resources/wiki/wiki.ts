import { KernelError } from '#libs/database';
import { defineResource, type Resource } from '#libs/journal';
import { characterProblem, checkCharacters, lengthProblem } from '../characters.ts';

/** A row of the table. Exactly one of text and bytes is set: bytes hold contents that are not UTF-8 or hold NUL. */
export interface WikiRow {
  id: string;
  name: string;
  text: string | null;
  bytes: Buffer | null;
  readonly: boolean;
  version: number;
  row_version: number;
}

export const wiki: Resource<WikiRow> = defineResource<WikiRow>({ name: 'wiki', alias: 'name' });

/** A page as clients see it: its row and who last changed it. */
export interface Page {
  id: string;
  name: string;
  version: number;
  /** Null when the contents are bytes. */
  text: string | null;
  /** Base64; absent when the contents are text. */
  bytes?: string;
  readonly: boolean;
  author: string;
  time: string;
  comment: string | null;
  tid: number;
  row_version: number;
}

export const MAX_TEXT_BYTES = 5 * 1024 * 1024;
const MAX_NAME_CHARACTERS = 500;
const MAX_NAME_BYTES = 2000;

/** Throws `invalid` with the reason when a text cannot be a page's name. */
export function checkName(name: string, path = 'name'): void {
  const reason = nameProblem(name);
  if (reason !== undefined) throw invalid(path, `a page name ${reason}`);
}

/** Throws `too_large` above 5 MB of UTF-8, `invalid` for what PostgreSQL cannot store as text. */
export function checkText(text: string): void {
  checkCharacters(text, 'text');
  if (Buffer.byteLength(text) > MAX_TEXT_BYTES) {
    throw new KernelError('too_large', `the text of a page must not exceed ${MAX_TEXT_BYTES} bytes`);
  }
}

/** The error of a name that no page bears. */
export function noPage(name: string): KernelError {
  return new KernelError('not_found', `no page is named ${JSON.stringify(name)}`);
}

/** Whether a text can be a page's name. */
export function isPageName(name: string): boolean {
  return nameProblem(name) === undefined;
}
function nameProblem(name: string): string | undefined {
  if (name === '') return 'must not be empty';
  const segments = name.split('/');
  if (segments.includes('')) return 'must not begin or end with a slash or hold two in a row';
  if (segments.includes('.') || segments.includes('..')) return 'must not have a segment . or ..';
  const problem = characterProblem(name) ?? lengthProblem(name, MAX_NAME_CHARACTERS);
  if (problem !== undefined) return problem;
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `must not exceed ${MAX_NAME_BYTES} bytes of UTF-8`;
  return undefined;
}

function invalid(path: string, message: string): KernelError {
  return new KernelError('invalid', message, { errors: [{ path, message }] });
}
