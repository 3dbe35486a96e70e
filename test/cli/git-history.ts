import { execFileSync } from 'node:child_process';
import type { Random } from './random.ts';

/** A file of a tree: its mode and contents (the target of a link, the commit of a submodule). */
interface File {
  readonly mode: '100644' | '100755' | '120000' | '160000';
  readonly bytes: Buffer;
}

/** Paths are held byte by byte (latin1), as git does. */
type Tree = Map<string, File>;

/** Writes commits of random changes of every kind into a repository, through git fast-import. */
export class HistoryWriter {
  readonly #repository: string;
  readonly #random: Random;
  readonly #tree: Tree = new Map();
  #out: Buffer[] = [];
  #names = 0;
  #mark = 0;
  #tip: string | undefined;
  #time = 1_100_000_000;

  constructor(repository: string, random: Random) {
    this.#repository = repository;
    this.#random = random;
    git(repository, ['init', '-q', '-b', 'main']);
  }

  /** Adds so many commits to main; some of them merge a side branch that changed the same files. */
  add(commits: number): void {
    for (let n = 0; n < commits; n++) {
      if (this.#random.chance(8) && this.#tip !== undefined) this.#merge();
      else this.#commit([], 1 + this.#random.below(5));
    }
    execFileSync('git', ['-C', this.#repository, 'fast-import', '--quiet', '--force', '--date-format=raw'], {
      input: Buffer.concat(this.#out),
    });
    this.#out = [];
    this.#tip = git(this.#repository, ['rev-parse', 'main']).trim();
  }

  /** The tip with its changes undone by a commit beside it: another history. */
  rewrite(): void {
    git(this.#repository, ['update-ref', 'refs/heads/main', 'main~3']);
    this.#tip = git(this.#repository, ['rev-parse', 'main']).trim();
    this.#say(`commit refs/heads/main\n${this.#people()}from ${this.#tip}\nM 100644 inline rewritten\n`);
    this.#data(Buffer.from('otherwise'));
    execFileSync('git', ['-C', this.#repository, 'fast-import', '--quiet', '--force'], {
      input: Buffer.concat(this.#out),
    });
    this.#out = [];
  }

  #merge(): void {
    const side = ++this.#mark;
    const path = this.#anyFile();
    this.#say(`commit refs/heads/side\nmark :${side}\n${this.#people()}from ${this.#tip}\n`);
    this.#say(`M 100644 inline ${quote(path ?? 'side')}\n`);
    this.#data(Buffer.from(`on the side ${side}`));
    this.#commit([`:${side}`], this.#random.below(3));
  }

  #commit(merged: readonly string[], changes: number): void {
    const mark = ++this.#mark;
    this.#say(`commit refs/heads/main\nmark :${mark}\n${this.#people()}`);
    if (this.#tip !== undefined) this.#say(`from ${this.#tip}\n`);
    for (const other of merged) this.#say(`merge ${other}\n`);
    for (let n = 0; n < changes; n++) this.#change();
    this.#tip = `:${mark}`;
  }

  #people(): string {
    const random = this.#random;
    // committer times run backwards now and then
    this.#time += random.chance(10) ? -random.below(100_000) : random.below(100_000);
    const author = random.pick(['joe', 'Jörg Müller', '田中 太郎', 'a b', 'mail@only', '']);
    const subject = random.pick([
      'a change',
      'Größer',
      '',
      'two\nlines',
      'subject\n\nbody',
      'quote " and \\ and $(rm)',
    ]);
    return (
      `author ${author}${author === '' ? '' : ' '}<x@example.org> ${this.#time - random.below(9999)} +0530\n` +
      `committer Somebody <y@example.org> ${this.#time} -0800\ndata ${Buffer.byteLength(subject)}\n${subject}\n`
    );
  }

  #change(): void {
    const random = this.#random;
    const file = this.#anyFile();
    const kind = random.below(20);
    if (file === undefined || kind < 6) this.#write(this.#newPath(), this.#file());
    else if (kind < 10) this.#write(file, { mode: '100644', bytes: this.#contents() });
    else if (kind < 12) this.#delete(file);
    else if (kind < 14) this.#rename(file, this.#newPath(), random.chance(50));
    else if (kind === 14) this.#swap(file, this.#anyFile() ?? file);
    else if (kind === 15) this.#chain(file, this.#anyFile() ?? file);
    else if (kind === 16) this.#write(file, { mode: '120000', bytes: Buffer.from('target') });
    else if (kind === 17) this.#write(file, { mode: '100755', bytes: this.#tree.get(file)?.bytes ?? Buffer.alloc(0) });
    else if (kind === 18) this.#intoFolder(file);
    else this.#write(this.#newPath(), { mode: '160000', bytes: Buffer.from('1'.repeat(40)) });
  }

  #rename(from: string, to: string, edited: boolean): void {
    const file = this.#tree.get(from) as File;
    this.#delete(from);
    const more = edited && file.mode.startsWith('100') ? Buffer.concat([file.bytes, Buffer.from('!')]) : file.bytes;
    this.#write(to, { ...file, bytes: more });
  }

  #swap(one: string, other: string): void {
    const [a, b] = [this.#tree.get(one) as File, this.#tree.get(other) as File];
    this.#write(one, b);
    this.#write(other, a);
  }

  /** one → other → a new name, all in one commit. */
  #chain(one: string, other: string): void {
    if (one === other) return;
    const [a, b] = [this.#tree.get(one) as File, this.#tree.get(other) as File];
    this.#delete(one);
    this.#write(this.#newPath(), b);
    this.#write(other, a);
  }

  /** A file gives way to a folder of its name. */
  #intoFolder(path: string): void {
    const file = this.#tree.get(path) as File;
    this.#delete(path);
    this.#write(`${path}/inside`, file);
  }

  #write(path: string, file: File): void {
    this.#tree.set(path, file);
    if (file.mode === '160000') {
      this.#say(`M 160000 ${file.bytes} ${quote(path)}\n`);
    } else {
      this.#say(`M ${file.mode} inline ${quote(path)}\n`);
      this.#data(file.bytes);
    }
  }

  #delete(path: string): void {
    this.#tree.delete(path);
    this.#say(`D ${quote(path)}\n`);
  }

  #anyFile(): string | undefined {
    return this.#tree.size === 0 ? undefined : this.#random.pick([...this.#tree.keys()]);
  }

  #newPath(): string {
    const n = ++this.#names;
    const text = this.#random.pick([
      `page${n}`,
      `folder/page${n}.md`,
      `a b/${n} "quoted" \\ 'it' $HOME`,
      `Ünïcode/日本語 ${n}`,
      `tab\tand\nnewline ${n}`,
      `long${n}-${'x'.repeat(240)}`,
      `deep/${'y'.repeat(200)}/${'z'.repeat(200)}/${n}`,
      // too long for the name of a page, and not UTF-8
      `too/${'y'.repeat(250)}/${'z'.repeat(250)}/${n}`,
    ]);
    return this.#random.chance(5) ? `latin\xe4${n}` : Buffer.from(text).toString('latin1');
  }

  #file(): File {
    const mode = this.#random.pick(['100644', '100644', '100644', '100755', '120000'] as const);
    return { mode, bytes: mode === '120000' ? Buffer.from('elsewhere') : this.#contents() };
  }

  #contents(): Buffer {
    const random = this.#random;
    const lines = Array.from({ length: random.below(40) }, () => `line ${random.below(1000)} of a page`).join('\n');
    return random.pick([
      Buffer.from(lines),
      Buffer.from(lines),
      Buffer.from(`${lines}\r\nÜmläut 日本 😀\n`),
      Buffer.from(`\ufeff${lines}`),
      Buffer.alloc(0),
      Buffer.from('\n'),
      Buffer.from(`caf\xe9 ${random.below(100)}`, 'latin1'),
      Buffer.from(`nul\0inside ${random.below(100)}`),
      Buffer.from(Array.from({ length: 300 }, () => random.below(256))),
    ]);
  }

  #data(bytes: Buffer): void {
    this.#out.push(Buffer.from(`data ${bytes.length}\n`), bytes, Buffer.from('\n'));
  }

  #say(text: string): void {
    this.#out.push(Buffer.from(text));
  }
}

export function git(repository: string, args: readonly string[]): string {
  return execFileSync('git', ['-C', repository, ...args], {
    maxBuffer: 2 ** 30,
    stdio: ['ignore', 'pipe', 'inherit'],
  }).toString();
}

/** The pages of a commit as git has them: every ordinary file whose path can be a page's name. `known` keeps contents between calls. */
export function pagesAt(repository: string, commit: string, known: Map<string, Buffer>): Map<string, Buffer> {
  const list = execFileSync('git', ['-C', repository, 'ls-tree', '-r', '-z', '--full-tree', commit], {
    maxBuffer: 2 ** 30,
  });
  const pages = new Map<string, Buffer>();
  for (const line of list.toString('latin1').split('\0').filter(Boolean)) {
    const [, mode = '', blob = '', path = ''] = /^(\d+) \w+ (\w+)\t(.*)$/s.exec(line) ?? [];
    const name = Buffer.from(path, 'latin1').toString('utf8');
    if (!mode.startsWith('100') || name.includes('\ufffd') || [...name].length > 500) continue;
    const bytes =
      known.get(blob) ?? execFileSync('git', ['-C', repository, 'cat-file', 'blob', blob], { maxBuffer: 2 ** 30 });
    known.set(blob, bytes);
    pages.set(name, bytes);
  }
  return pages;
}

function quote(path: string): string {
  return `"${[...path]
    .map((character) => {
      const code = character.charCodeAt(0);
      return code < 32 || code > 126 || '"\\'.includes(character)
        ? `\\${code.toString(8).padStart(3, '0')}`
        : character;
    })
    .join('')}"`;
}
