import { ByteSource } from './byte-source.ts';
import { type GitProcess, startGit } from './git.ts';

/** The contents of a file, or only its size when they are larger than an import takes. */
export interface Blob {
  readonly size: number;
  readonly bytes?: Buffer;
}

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
    const bytes = size > this.#largest ? undefined : await this.#source.take(size);
    await this.#source.skip(bytes === undefined ? size + 1 : 1);
    return bytes === undefined ? { size } : { size, bytes };
  }

  close(): void {
    this.#git.stop();
  }
}

const NEWLINE = 10;
