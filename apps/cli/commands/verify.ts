import { userInfo } from 'node:os';
import type { Check, CheckChoice } from '#libs/integrity';
import { differenceLine } from '../difference-line.ts';
import { EXIT } from '../exit-codes.ts';
import { type ReaderOptions, withReader } from '../open.ts';
import { counted, printJson, say } from '../output.ts';
import type { Context } from '../program.ts';

/** `tidemark verify`: every difference as a line of JSON. */
export async function verify({ interrupted }: Context, options: ReaderOptions & CheckChoice): Promise<number> {
  const { resource, projection } = options;
  const repairs = new Set<string>();
  return withReader(options, async ({ kernel: { integrity } }) => {
    const { checks, rows, findings, stale } = await integrity.verify(
      { resource, projection },
      {
        actor: { author: userInfo().username },
        signal: interrupted,
        onFound: async (check, { finding, found }) => {
          repairs.add(repairOf(check));
          await printJson({ finding, ...differenceLine(check, found) });
        },
        onSkipped: (check, why) => say(`${check.resource} is not compared: ${why}`),
      },
    );
    const waiting = stale > 0 ? `; ${stale} more that changes explain which are still to be applied` : '';
    say(`${checks} checks of ${rows} rows: ${counted(findings, 'difference')}${waiting}`);
    if (repairs.size > 0) say(`What can be done, rows first, as projections follow them:\n${[...repairs].join('\n')}`);
    return findings > 0 ? EXIT.findings : EXIT.done;
  });
}

function repairOf({ name, resource }: Check): string {
  return `  tidemark repair --${name === 'projection' || name === 'rebuilt' ? 'projection' : 'resource'} ${resource}`;
}
