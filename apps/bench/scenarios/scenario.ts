import type { Figure } from '../figures.ts';
import type { Options } from '../options.ts';

/** Something that is measured on a server of its own; it leaves nothing behind. */
export interface Scenario {
  readonly title: string;
  run(options: Options, say: (progress: string) => void): Promise<Figure[]>;
}
