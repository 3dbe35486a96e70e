import { ByteSource } from './byte-source.ts';
import { type GitProcess, startGit } from './git.ts';

/**
 * The contents of a file: `bytes` when they are small, `pieces` when they are large, neither when they are larger than an import
 * takes. The pieces are to be read to their end before the next contents are asked for.
 */
export interface Blob {
  readonly size: number;
  readonly bytes?: Buffer;
  readonly pieces?: AsyncIterable<Buffer>;
}

/** What is larger comes in pieces of this size. */
export const PIECE_BYTES = 4 * 1024 * 1024;

/** Reads contents through one `git cat-file --batch`: they come in the order in which they were asked for. */
export class BlobReader {
  readonly #git: GitProcess;
  readonly #source: ByteSource;
  readonly #largest: number;

  constructor(repository: string, largest: number) {
    this.#git = startGit(repository, ['cat-file', '--batch']);
    this.#source = new ByteSource(this.#git.stdout);
    this.#largest = largest;
  }

  request(blob: string): void {
    this.#git.stdin.write(`${blob}\n`);
  }

  /** The next requested contents. */
  async next(): Promise<Blob> {
    const header = (await this.#source.until(NEWLINE))?.toString();
    if (header === undefined) {
      await this.#git.ended;
      throw new Error('git cat-file ended too early');
    }
    const [blob, kind, length] = header.split(' ');
    if (kind !== 'blob') throw new Error(`the repository is incomplete: ${blob} is ${kind}`);
    const size = Number(length);
    if (size > PIECE_BYTES && size <= this.#largest) return { size, pieces: this.#pieces(size) };
    const bytes = size > this.#largest ? undefined : await this.#source.take(size);
    await this.#source.skip(bytes === undefined ? size + 1 : 1);
    return bytes === undefined ? { size } : { size, bytes };
  }

  close(): void {
    this.#git.stop();
  }

  async *#pieces(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0; left -= PIECE_BYTES) yield await this.#source.take(Math.min(left, PIECE_BYTES));
    await this.#source.skip(1);
  }
}

const NEWLINE = 10;
