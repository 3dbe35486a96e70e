import type { IncomingHttpHeaders } from 'node:http';
import { KernelError } from '#libs/database';
import type { Condition } from '#libs/journal';

// Printable ASCII but the quote: RFC 9110, section 8.8.3.
const TAG = /(W\/)?("[\x21\x23-\x7e\x80-\xff]*")/y;

/** The entity tags of a list, in quotes and without W/; KernelError `malformed` when it is none. */
export function parseEntityTags(header: string, name = 'If-None-Match'): string[] {
  return readTags(header, name).map(({ tag }) => tag);
}

/**
 * What a request's If-Match and If-None-Match ask of a change. If-Match compares strongly, so a weak tag meets nothing. KernelError
 * `malformed` for what is no list of entity tags, for both at once, and for an If-None-Match that is not `*`.
 */
export function conditionOf(headers: IncomingHttpHeaders): Condition | undefined {
  const match = headers['if-match']?.trim();
  const noneMatch = headers['if-none-match']?.trim();
  if (match !== undefined && noneMatch !== undefined) {
    throw new KernelError('malformed', 'If-Match and If-None-Match exclude each other');
  }
  if (noneMatch === '*') return { kind: 'absent' };
  if (noneMatch !== undefined) {
    throw new KernelError(
      'malformed',
      'a change may ask If-None-Match: * only, that is, to be made when nothing exists',
    );
  }
  if (match === undefined) return undefined;
  if (match === '*') return { kind: 'present' };
  const strong = readTags(match, 'If-Match').filter(({ weak }) => !weak);
  return { kind: 'version', tags: strong.map(({ tag }) => tag.slice(1, -1)) };
}

function readTags(header: string, name: string): { tag: string; weak: boolean }[] {
  const found: { tag: string; weak: boolean }[] = [];
  let at = 0;
  while (at < header.length) {
    TAG.lastIndex = at;
    const [all, weak, tag] = TAG.exec(header) ?? [];
    if (all === undefined || tag === undefined) throw notTags(name);
    found.push({ tag, weak: weak !== undefined });
    const separator = /^\s*(,\s*|$)/.exec(header.slice(at + all.length));
    if (!separator) throw notTags(name);
    at += all.length + separator[0].length;
  }
  if (found.length === 0) throw notTags(name);
  return found;
}

function notTags(name: string): KernelError {
  return new KernelError('malformed', `${name} must be * or entity tags in double quotes, as an ETag header gave them`);
}
