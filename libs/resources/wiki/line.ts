// Looking ahead in such a line costs less than remembering.
const SHORT = 80;

/** One line of a text that is read from left to right, and looked ahead in without reading anything twice. */
export class Line {
  readonly text: string;
  #found: Map<string, number> | undefined;
  /** Before this place no prefix can begin: the characters up to there have been looked at. */
  noPrefixBefore = 0;

  constructor(text: string) {
    this.text = text;
  }

  /**
   * Where a needle comes next, at `from` or later, or the length of the line. Calls for one use must come with rising `from`: what lies
   * ahead is then remembered, and all of them together read the line once.
   */
  find(needle: string, from: number, use: string): number {
    if (this.text.length <= SHORT) return this.#look(needle, from);
    this.#found ??= new Map();
    const known = this.#found.get(use);
    if (known !== undefined && known >= from) return known;
    const at = this.#look(needle, from);
    this.#found.set(use, at);
    return at;
  }

  #look(needle: string, from: number): number {
    const found = this.text.indexOf(needle, from);
    return found < 0 ? this.text.length : found;
  }
}
