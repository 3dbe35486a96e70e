import { bracketPiece } from './bracket-links.ts';
import { isSchemeStart } from './characters.ts';
import { Line } from './line.ts';
import { schemeEnd, shortTargetEnd, wikiWordEnd } from './wiki-words.ts';

/** A link as it stands in a text: `wiki` is the prefix of links to pages. */
export interface WikiLink {
  /** What a reader sees. */
  readonly text: string;
  readonly prefix: string;
  readonly target: string;
}

/** A piece of syntax: where it ends, and the link that it is, if it is one. */
export interface Piece {
  readonly end: number;
  readonly link?: WikiLink;
}

/**
 * The links of a wiki text to pages and of the form `prefix:target`, in the order of the text. Code is skipped, in backticks and in {{{ }}};
 * what stands after an exclamation mark is no link. Takes time linear in the length of the text, and never throws.
 */
export function* linksIn(text: string): Generator<WikiLink> {
  let depth = 0;
  for (let start = 0; start <= text.length; ) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(start, end);
    start = end + 1;
    if (opensBlock(line)) depth++;
    else if (depth > 0) depth -= line.trim() === '}}}' ? 1 : 0;
    else if (line !== '') yield* linksInLine(new Line(withoutAnchor(line)));
  }
}

function opensBlock(line: string): boolean {
  const trimmed = line.trim();
  return trimmed === '{{{' || (trimmed.startsWith('{{{#!') && !trimmed.includes('}}}'));
}

/** The anchor at the end of a heading (`== Title == #Anchor`) is no word of the text. */
function withoutAnchor(line: string): string {
  if (!line.trimStart().startsWith('=')) return line;
  const hash = line.lastIndexOf('#');
  return hash > 0 && /[\s=]/.test(line.charAt(hash - 1)) && !/\s/.test(line.slice(hash).trimEnd())
    ? line.slice(0, hash)
    : line;
}

function* linksInLine(line: Line): Generator<WikiLink> {
  for (let at = 0; at < line.text.length; ) {
    const escaped = line.text[at] === '!';
    const piece = pieceAt(line, escaped ? at + 1 : at);
    if (piece?.link && !escaped) yield piece.link;
    at = piece?.end ?? at + 1;
  }
}

function pieceAt(line: Line, at: number): Piece | undefined {
  switch (line.text[at]) {
    case '{':
      return code(line, at, '{{{', '}}}');
    case '`':
      return code(line, at, '`', '`');
    case '[':
      return bracketPiece(line, at);
    default:
      return wikiWord(line.text, at) ?? prefixed(line, at);
  }
}

function code(line: Line, at: number, opening: string, closing: string): Piece | undefined {
  if (!line.text.startsWith(opening, at)) return undefined;
  const end = line.find(closing, at + opening.length, closing);
  return end < line.text.length ? { end: end + closing.length } : undefined;
}

function wikiWord(text: string, at: number): Piece | undefined {
  const end = wikiWordEnd(text, at);
  if (end === undefined) return undefined;
  const name = text.slice(at, end);
  return { end, link: { text: name, prefix: 'wiki', target: name } };
}

/** prefix:target in running text. What looks like one is none of the other kinds either. */
function prefixed(line: Line, at: number): Piece | undefined {
  const { text } = line;
  if (at < line.noPrefixBefore || !isSchemeStart(text, at)) return undefined;
  const colon = schemeEnd(text, at);
  const end = text[colon] === ':' ? targetEnd(line, colon + 1) : undefined;
  if (end === undefined) {
    line.noPrefixBefore = colon;
    return undefined;
  }
  const target = text.slice(colon + 1, end);
  const quoted = target.startsWith('"') || target.startsWith("'");
  const link = {
    text: text.slice(at, end),
    prefix: text.slice(at, colon),
    target: quoted ? target.slice(1, -1) : target,
  };
  return { end, link };
}

function targetEnd(line: Line, start: number): number | undefined {
  const quote = line.text[start];
  if (quote !== '"' && quote !== "'") return shortTargetEnd(line.text, start);
  const closing = line.find(quote, start + 1, `short ${quote}`);
  return closing > start + 1 && closing < line.text.length ? closing + 1 : undefined;
}
