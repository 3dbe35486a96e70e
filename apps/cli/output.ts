import { once } from 'node:events';

/** Prints a result, waiting while the reader at the other end of a pipe is slow. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain');
}

/** Prints a value as one line of JSON. */
export async function printJson(value: unknown): Promise<void> {
  await print(JSON.stringify(value));
}

/** Says something about the work, beside the results. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** A number of things, in words: `1 change`, `2 changes`, `no changes`. */
export function counted(count: number, thing: string): string {
  return `${count === 0 ? 'no' : count} ${thing}${count === 1 ? '' : 's'}`;
}

/** Lines of a table: columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal must not be told things by what others have written
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]+/g;

/** A text that others have written, such as a comment or an error, on one line and with nothing that a terminal would obey. */
export function plain(text: string): string {
  return text.replace(CONTROLS, ' ');
}

/** A value as JSON in a line for people, with its length where that is too much. */
export function shortJson(value: unknown, longest: number): string {
  const json = plain(JSON.stringify(value) ?? 'null');
  return json.length <= longest ? json : `${json.slice(0, longest - 1)}…(${json.length})`;
}

/** A reader that has seen enough (`| head`) is no error. */
export function endQuietlyWhenNobodyReads(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}
