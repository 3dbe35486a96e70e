import { isDigit, isLower, isSchemeCharacter, isSpace, isUpper, isWord } from './characters.ts';

/** Where the page name in CamelCase ends that begins at a place, its version and fragment included; undefined when there is none. */
export function wikiWordEnd(text: string, start: number): number | undefined {
  if (!isUpper(text, start) || text[start - 1] === '/' || isWord(text, start - 1)) return undefined;
  let last: number | undefined;
  let at = start;
  for (let words = 1; isUpper(text, at) && isLower(text, at + 1); words++) {
    at += 2;
    while (isLower(text, at)) at++;
    if (words > 1) last = validEnd(text, at) ?? last;
    if (text[at] !== '/') continue;
    at++;
    if (words > 1) last = validEnd(text, at) ?? last;
  }
  return last;
}

/** The longest of name@version#fragment that is followed by something that can follow a name. */
function validEnd(text: string, end: number): number | undefined {
  const version = versionEnd(text, end);
  return [fragmentEnd(text, version), version, end].find((at) => canFollow(text, at));
}

function versionEnd(text: string, end: number): number {
  if (text[end] !== '@' || !isDigit(text, end + 1)) return end;
  let at = end + 1;
  while (isDigit(text, at)) at++;
  return at;
}

function fragmentEnd(text: string, end: number): number {
  if (text[end] !== '#' || isDigit(text, end + 1) || !(isWord(text, end + 1) || text[end + 1] === ':')) return end;
  let last = end + 2;
  for (let at = last; at < text.length && (isWord(text, at) || ':.-'.includes(text.charAt(at))); at++) {
    if (isWord(text, at) || text[at] === '-') last = at + 1;
  }
  return last;
}

function canFollow(text: string, at: number): boolean {
  if (text[at] === ':') return at + 1 >= text.length || isSpace(text, at + 1);
  return !isWord(text, at);
}

/** Where the characters end of which the prefix of `prefix:target` may consist. */
export function schemeEnd(text: string, start: number): number {
  let at = start;
  while (isSchemeCharacter(text, at)) at++;
  return at;
}

/** Where the target of `prefix:target` in running text ends: not at punctuation, which belongs to the sentence. Undefined when there is none. */
export function shortTargetEnd(text: string, start: number): number | undefined {
  if (!isTargetEnd(text, start) && !'?!#@'.includes(text[start] ?? ' ')) return undefined;
  let last = start + 1;
  for (let at = start + 1; isTargetMiddle(text, at); at++) if (isTargetEnd(text, at)) last = at + 1;
  return last;
}

function isTargetMiddle(text: string, at: number): boolean {
  const character = text[at];
  if (character === undefined || character === '<' || character === '>' || isSpace(text, at)) return false;
  return character !== '|' || !(at + 1 >= text.length || text[at + 1] === '|' || isSpace(text, at + 1));
}

function isTargetEnd(text: string, at: number): boolean {
  const character = text[at];
  return character === '/' || character === '=' || (character !== '_' && isWord(text, at));
}
