import { isUtf8 } from 'node:buffer';
import type { Kysely, RawBuilder } from 'kysely';
import type { Blob } from './blob-reader.ts';
import { insertPiece, joinedBytes, joinedText, preparePieces } from './large-page.queries.ts';

/** The columns of a page's contents: values, or for a large page the expression that puts its pieces together in the database. */
export interface Contents {
  readonly large: boolean;
  readonly text: Buffer | RawBuilder<string> | null;
  readonly bytes: Buffer | RawBuilder<Buffer> | null;
}

/**
 * Turns contents into columns; undefined when they are too large. A large page is sent in pieces, so that it never is in memory whole;
 * it must be written before the next one is sent. Contents that are not UTF-8 or hold NUL are bytes.
 */
export async function loadContents<DB>(blob: Blob, open: () => Kysely<DB>): Promise<Contents | undefined> {
  if (blob.pieces !== undefined) {
    const isText = await sendPieces(open(), blob.pieces);
    return { large: true, text: isText ? joinedText : null, bytes: isText ? null : joinedBytes };
  }
  if (blob.bytes === undefined) return undefined;
  const isText = isUtf8(blob.bytes) && !blob.bytes.includes(0);
  // text goes as the bytes it is: a string would take up to three times the memory on its way
  return { large: false, text: isText ? blob.bytes : null, bytes: isText ? null : blob.bytes };
}

/** Sends the pieces and says whether they are text. */
async function sendPieces<DB>(tx: Kysely<DB>, pieces: AsyncIterable<Buffer>): Promise<boolean> {
  await preparePieces(tx);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let isText = true;
  let position = 0;
  for await (const piece of pieces) {
    isText &&= !piece.includes(0) && decodes(() => decoder.decode(piece, { stream: true }));
    await insertPiece(tx, position++, piece);
  }
  return isText && decodes(() => decoder.decode());
}

function decodes(decode: () => string): boolean {
  try {
    decode();
    return true;
  } catch {
    return false;
  }
}
