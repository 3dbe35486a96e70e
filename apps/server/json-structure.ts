import { KernelError } from '#libs/database';

const MAX_DEPTH = 64;
// Bytes of a text that are looked at before searching for its end, which does not pay where quotes are dense.
const STRIDE = 256;

const QUOTE = 0x22;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/** An object or list that is open: the fields seen so far, and the one whose value comes. */
interface Open {
  readonly fields: Set<string>;
  field: string;
}

/**
 * Looks through JSON in UTF-8 for what JSON.parse would hide: of a field that is given twice it silently takes the last, a field __proto__ copied
 * onto another object would replace its prototype, and deep nesting would fill the memory. Throws `malformed` for each. Whether it is JSON at all
 * is for JSON.parse to say. Long texts are passed over by searching for their end.
 */
export function checkStructure(json: Buffer): void {
  const open: Open[] = [];
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) {
      const end = endOfString(json, at);
      const last = open.at(-1);
      if (last && json[skipBlanks(json, end + 1)] === COLON) checkField(json, at, end, open, last);
      at = end;
    } else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      if (open.length === MAX_DEPTH) throw malformed(`is nested deeper than ${MAX_DEPTH} levels`);
      open.push({ fields: new Set(), field: '' });
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) open.pop();
  }
}

function checkField(json: Buffer, start: number, end: number, open: readonly Open[], last: Open): void {
  const field = decode(json.toString('utf8', start, end + 1));
  last.field = field;
  if (field === '__proto__') throw malformed('has a field __proto__');
  if (last.fields.has(field)) {
    const path = open.map(({ field }) => field).filter((name) => name !== '');
    throw malformed(`has the field ${JSON.stringify(path.join('.'))} twice`);
  }
  last.fields.add(field);
}

/** A string between its quotes; as it stands when it is not one that JSON allows. */
function decode(literal: string): string {
  if (!literal.includes('\\')) return literal.slice(1, -1);
  try {
    return JSON.parse(literal);
  } catch {
    return literal;
  }
}

function skipBlanks(json: Buffer, from: number): number {
  let at = from;
  while (json[at] === 0x20 || json[at] === 0x0a || json[at] === 0x0d || json[at] === 0x09) at++;
  return at;
}

function endOfString(json: Buffer, start: number): number {
  let at = start + 1;
  while (at < json.length) {
    const stop = Math.min(at + STRIDE, json.length);
    while (at < stop) {
      const byte = json[at];
      if (byte === QUOTE) return at;
      at += byte === BACKSLASH ? 2 : 1;
    }
    at = nextQuote(json, at);
  }
  return json.length;
}

/** Where to look on: at the next quote, or behind it when it is escaped. */
function nextQuote(json: Buffer, from: number): number {
  const quote = json.indexOf(QUOTE, from);
  if (quote === -1) return json.length;
  let escapes = 0;
  while (json[quote - 1 - escapes] === BACKSLASH) escapes++;
  return escapes % 2 === 0 ? quote : quote + 1;
}

function malformed(reason: string): KernelError {
  return new KernelError('malformed', `the body ${reason}`);
}
