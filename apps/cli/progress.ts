/**
 * Shows how far a piece of work is, with rate and time left: one line that is rewritten on a terminal, a plain line every few seconds
 * otherwise.
 */
export class Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #unit: string;
  readonly #total: number | undefined;
  readonly #began = performance.now();
  #shown = 0;
  #done = 0;
  #shownDone = 0;

  constructor(stream: NodeJS.WriteStream, unit: string, total?: number) {
    this.#stream = stream;
    this.#unit = unit;
    this.#total = total;
  }

  update(done: number): void {
    this.#done = done;
    const now = performance.now();
    if (now - this.#shown < (this.#stream.isTTY ? 100 : 5000)) return;
    if (this.#stream.isTTY || this.#shown > 0) this.#show();
    this.#shown = now;
  }

  /** Prints a line about the work, above the progress. */
  note(text: string): void {
    this.#stream.write(this.#stream.isTTY ? `\r\u001b[K${text}\n` : `${text}\n`);
  }

  end(): void {
    if (this.#done !== this.#shownDone) this.#show();
    if (this.#stream.isTTY && this.#done > 0) this.#stream.write('\n');
  }

  /** Seconds since the start. */
  get seconds(): number {
    return (performance.now() - this.#began) / 1000;
  }

  #show(): void {
    this.#shownDone = this.#done;
    const rate = this.#done / Math.max(this.seconds, 0.001);
    // what is followed while others write grows beyond what there was at first
    const of = this.#total === undefined ? '' : ` of ${Math.max(this.#total, this.#done)}`;
    const line = `${this.#done}${of} ${this.#unit}, ${rate.toFixed(rate < 10 ? 1 : 0)} a second${this.#left(rate)}`;
    this.#stream.write(this.#stream.isTTY ? `\r\u001b[K${line}` : `${line}\n`);
  }

  #left(rate: number): string {
    if (this.#total === undefined || this.#done >= this.#total) return '';
    const seconds = Math.ceil((this.#total - this.#done) / rate);
    const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
    const time =
      hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
    return `, ${time} left`;
  }
}
