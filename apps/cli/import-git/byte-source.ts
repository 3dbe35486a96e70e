import type { Readable } from 'node:stream';

/** Reads a stream in pieces of the caller's choice; what is not asked for stays in the pipe. */
export class ByteSource {
  readonly #chunks: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /** The bytes up to the next `end` byte, which is consumed; undefined when the stream is over. */
  async until(end: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    for (;;) {
      const at = this.#chunk.indexOf(end);
      if (at >= 0) {
        parts.push(this.#chunk.subarray(0, at));
        this.#chunk = this.#chunk.subarray(at + 1);
        return parts.length === 1 ? parts[0] : Buffer.concat(parts);
      }
      if (this.#chunk.length > 0) parts.push(this.#chunk);
      if (!(await this.#more())) return parts.length === 0 ? undefined : Buffer.concat(parts);
    }
  }

  /** Exactly so many bytes. Throws when the stream ends before. */
  async take(length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    let filled = 0;
    await this.#pass(length, (part) => {
      filled += part.copy(bytes, filled);
    });
    return bytes;
  }

  /** Drops so many bytes. */
  async skip(length: number): Promise<void> {
    await this.#pass(length, () => {});
  }

  async #pass(length: number, use: (part: Buffer) => void): Promise<void> {
    for (let left = length; left > 0; ) {
      if (this.#chunk.length === 0 && !(await this.#more())) throw new Error('git ended in the middle of a file');
      const part = this.#chunk.subarray(0, left);
      this.#chunk = this.#chunk.subarray(part.length);
      left -= part.length;
      use(part);
    }
  }

  async #more(): Promise<boolean> {
    const next = await this.#chunks.next();
    this.#chunk = next.done ? Buffer.alloc(0) : next.value;
    return !next.done;
  }
}
