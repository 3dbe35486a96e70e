import { type RebuildProgress, rebuild } from '#libs/projection';
import { type ReaderOptions, withReader } from '../open.ts';
import { print, printJson, say } from '../output.ts';
import type { Context } from '../program.ts';
import { Progress } from '../progress.ts';

/** `tidemark rebuild <projection>`: servers may go on meanwhile. Interrupted or killed, the same command goes on with it. */
export async function rebuildCommand(
  { interrupted }: Context,
  name: string,
  { anew = false, ...options }: ReaderOptions & { anew?: boolean },
): Promise<void> {
  await withReader(options, async ({ db, projection }) => {
    const chosen = projection(name);
    const shown = new Shown();
    try {
      const progress = (at: RebuildProgress) => shown.update(at);
      const { tid, resumed } = await rebuild(db, chosen, { anew, progress, signal: interrupted });
      shown.end();
      if (options.json) return await printJson({ projection: name, version: chosen.version, tid, resumed });
      await print(
        `rebuilt ${name}, version ${chosen.version}, up to tid ${tid}${resumed ? ': went on with what was interrupted' : ''}`,
      );
    } catch (error) {
      shown.end();
      if (!interrupted.aborted) throw error;
      say('tidemark: interrupted; the same command goes on from here');
    }
  });
}

/** The progress of one phase after another. */
class Shown {
  #phase: RebuildProgress['phase'] | undefined;
  #progress: Progress | undefined;

  update({ phase, done, of }: RebuildProgress): void {
    if (phase !== this.#phase) {
      this.end();
      this.#phase = phase;
      this.#progress = new Progress(process.stderr, phase === 'changes' ? 'tids' : 'keys', of ?? undefined);
    }
    this.#progress?.update(done);
  }

  end(): void {
    this.#progress?.end();
    this.#progress = undefined;
  }
}
