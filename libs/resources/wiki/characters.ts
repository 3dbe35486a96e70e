const WORD = 1;
const UPPER = 2;
const LOWER = 4;
const SPACE = 8;
const KNOWN = 128;
// Unicode's classes cost a regular expression each, so what was found for a UTF-16 unit is kept.
const classes = new Uint8Array(0x10000);

/** What wiki syntax asks of characters, with Unicode's letters; all by index, false beyond the end. */
export function isWord(text: string, at: number): boolean {
  return has(text, at, WORD);
}

export function isUpper(text: string, at: number): boolean {
  return has(text, at, UPPER);
}

export function isLower(text: string, at: number): boolean {
  return has(text, at, LOWER);
}

export function isSpace(text: string, at: number): boolean {
  return has(text, at, SPACE);
}

export function isDigit(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return unit >= 48 && unit <= 57;
}

/** A letter of ASCII, with which a scheme begins. */
export function isSchemeStart(text: string, at: number): boolean {
  const unit = text.charCodeAt(at) | 32;
  return unit >= 97 && unit <= 122;
}

export function isSchemeCharacter(text: string, at: number): boolean {
  return isSchemeStart(text, at) || isDigit(text, at) || (at < text.length && '-+._'.includes(text.charAt(at)));
}

// Halves of surrogate pairs count as letters: no script outside the first plane tells upper from lower in a way that makes page names.
function has(text: string, at: number, wanted: number): boolean {
  if (at < 0 || at >= text.length) return false;
  const unit = text.charCodeAt(at);
  const known = classes[unit] as number;
  return ((known === 0 ? classify(unit) : known) & wanted) !== 0;
}

function classify(unit: number): number {
  const character = String.fromCharCode(unit);
  const found =
    (/[\p{L}\p{N}_\uD800-\uDFFF]/u.test(character) ? WORD : 0) |
    (/\p{Lu}/u.test(character) ? UPPER : 0) |
    (/\p{Ll}/u.test(character) ? LOWER : 0) |
    (/\s/.test(character) ? SPACE : 0);
  classes[unit] = found | KNOWN;
  return found;
}
