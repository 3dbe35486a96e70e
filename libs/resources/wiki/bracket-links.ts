import { isSchemeStart, isSpace, isWord } from './characters.ts';
import type { Line } from './line.ts';
import { withoutLeadingSlashes } from './page-reference.ts';
import type { Piece } from './wiki-links.ts';
import { schemeEnd, wikiWordEnd } from './wiki-words.ts';

// Trac's macros that may be called without arguments, which then looks like a link to a page.
const MACROS = new Set([
  ...['br', 'image', 'intermapmacro', 'intertrac', 'interwiki', 'knownmimetypes', 'macrolist', 'pageoutline'],
  ...['recentchanges', 'repositoryindex', 'ticketquery', 'titleindex', 'toc', 'tracadminhelp', 'tracguidetoc'],
  ...['tracini', 'translatedpages', 'workflow'],
]);

/** The link in brackets, single or double, that begins at a place, or the macro call; undefined when it is only a bracket. */
export function bracketPiece(line: Line, at: number): Piece | undefined {
  const double = line.text[at + 1] === '[' ? (macro(line, at + 2) ?? creole(line, at + 2)) : undefined;
  return double ?? (line.find(']', at + 1, ']') < line.text.length ? single(line, at + 1) : undefined);
}

/** [[Name(arguments)]], [[Name]] and [[Name?]] of the macros that we know. */
function macro(line: Line, at: number): Piece | undefined {
  const { text } = line;
  let end = at;
  while (isWord(text, end) || '/+-?'.includes(text[end] ?? ' ')) end++;
  if (end === at) return undefined;
  if (text[end] === '(') {
    const closing = line.find(')]]', end + 1, ')]]');
    return closing < text.length ? { end: closing + 3 } : undefined;
  }
  const known = text[end - 1] === '?' || (end - at < 20 && MACROS.has(text.slice(at, end).toLowerCase()));
  return known && text.startsWith(']]', end) ? { end: end + 2 } : undefined;
}

/** [[target]] and [[target|label]]. */
function creole(line: Line, at: number): Piece | undefined {
  const end = line.find(']]', at, ']]');
  if (end >= line.text.length || line.find('[[', at, '[[') < end) return undefined;
  const inner = line.text.slice(at, end);
  const bar = inner.indexOf('|');
  const target = (bar < 0 ? inner : inner.slice(0, bar)).trim();
  if (target === '') return undefined;
  return piece(end + 2, target, bar < 0 ? '' : inner.slice(bar + 1).trim());
}

/** The forms of [target] and [target label]; a closing bracket is known to come. */
function single(line: Line, at: number): Piece | undefined {
  const { text } = line;
  if (text.startsWith('=#', at)) return { end: line.find(']', at, ']') + 1 };
  if (text[at] === '"' || text[at] === "'") return afterQuoted(line, 'wiki:', at);
  if (isRelative(text, at)) return afterTarget(line, at, at);
  const word = wikiWordEnd(text, at);
  if (word !== undefined && (text[word] === ']' || isSpace(text, word))) return afterTarget(line, at, at);
  if (!isSchemeStart(text, at)) return undefined;
  const colon = schemeEnd(text, at);
  if (text[colon] !== ':') return undefined;
  return afterQuoted(line, text.slice(at, colon + 1), colon + 1) ?? afterTarget(line, at, colon + 1);
}

/** /…, #…, ?…, ., .., ./…, ../… */
function isRelative(text: string, at: number): boolean {
  if (text[at] !== '.') return '/#?'.includes(text[at] ?? ' ');
  const next = text[at + 1] === '.' ? at + 2 : at + 1;
  return '/#?]'.includes(text[next] ?? ' ') || isSpace(text, next);
}

function afterQuoted(line: Line, prefix: string, at: number): Piece | undefined {
  const quote = line.text[at];
  if (quote !== '"' && quote !== "'") return undefined;
  const end = line.find(quote, at + 1, `target ${quote}`) + 1;
  if (end <= at + 2 || (line.text[end] !== ']' && !isSpace(line.text, end))) return undefined;
  const close = line.find(']', end, `] after ${quote}`);
  if (close >= line.text.length) return undefined;
  return labelled(line, end, close, `${prefix}${line.text.slice(at + 1, end - 1)}`);
}

function afterTarget(line: Line, start: number, from: number): Piece {
  const { text } = line;
  const close = line.find(']', from, ']');
  let end = from;
  while (end < close && !isSpace(text, end)) end++;
  return labelled(line, end, close, text.slice(start, end));
}

/** A label in quotes may hold a closing bracket. */
function labelled(line: Line, from: number, close: number, target: string): Piece {
  const { text } = line;
  let at = from;
  while (at < close && isSpace(text, at)) at++;
  const quote = text[at];
  if (quote === '"' || quote === "'") {
    const end = line.find(quote, at + 1, `label ${quote}`);
    if (end > at + 1 && text[end + 1] === ']') return piece(end + 2, target, text.slice(at + 1, end));
  }
  return piece(close + 1, target, text.slice(at, close).trim());
}

function piece(end: number, reference: string, label: string): Piece {
  const colon = isSchemeStart(reference, 0) ? schemeEnd(reference, 0) : 0;
  if (colon > 0 && reference[colon] === ':') {
    const target = unquoted(reference.slice(colon + 1));
    const prefix = reference.slice(0, colon);
    return { end, link: { text: label || withoutLeadingSlashes(target) || prefix, prefix, target } };
  }
  const target = unquoted(reference);
  // a place in this page, or outside of the wiki
  if ('/#?'.includes(target.charAt(0))) return { end };
  return { end, link: { text: label || target, prefix: 'wiki', target } };
}

function unquoted(text: string): string {
  const quote = text[0];
  return text.length > 2 && (quote === '"' || quote === "'") && text.endsWith(quote) ? text.slice(1, -1) : text;
}
