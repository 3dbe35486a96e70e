import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const manifest = join(import.meta.dirname, '../../../package.json');

/** The version of this program, as its package.json has it. */
export const version: string = JSON.parse(readFileSync(manifest, 'utf8')).version;
