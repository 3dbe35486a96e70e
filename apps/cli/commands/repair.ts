import { userInfo } from 'node:os';
import { KernelError } from '#libs/database';
import type { Accept, Plan, Repair, RepairChoice } from '#libs/integrity';
import { differenceLine, differenceText } from '../difference-line.ts';
import { EXIT } from '../exit-codes.ts';
import { type ReaderOptions, withReader } from '../open.ts';
import { plain, print, printJson, say } from '../output.ts';
import type { Context } from '../program.ts';

interface RepairFlags extends ReaderOptions {
  finding?: number;
  resource?: string;
  id?: string;
  projection?: string;
  accept?: Accept;
  reason?: string;
  apply?: boolean;
}

/** `tidemark repair`: shows what it would do, or does it. */
export async function repair(_context: Context, options: RepairFlags): Promise<number> {
  const choice = choiceOf(options);
  const { accept, reason, apply = false, json } = options;
  if (apply && !isReason(reason)) throw new KernelError('invalid', 'a repair needs a reason: --reason TEXT');
  let undecided = false;
  return withReader(options, async ({ kernel: { integrity } }) => {
    const { differences, done } = await integrity.repair(choice, {
      ...{ actor: { author: userInfo().username, comment: reason ?? null }, accept, apply },
      onRepair: (one) => {
        undecided ||= 'either' in one.plan;
        return json ? printJson(repairJson(one)) : print(repairText(one));
      },
    });
    if (differences === 0) say('nothing is different');
    else if (apply) say(`${done} of ${differences} differences are repaired`);
    else say(`nothing was changed: ${doesIt({ undecided, reasoned: isReason(reason) })} it`);
    return differences > done ? EXIT.findings : EXIT.done;
  });
}

function isReason(reason: string | undefined): boolean {
  return (reason ?? '').trim() !== '';
}

/** The flags that are still missing, with their verb. */
function doesIt({ undecided, reasoned }: { undecided: boolean; reasoned: boolean }): string {
  const before = [...(undecided ? ['--accept'] : []), ...(reasoned ? [] : ['--reason'])];
  return before.length === 0 ? '--apply does' : `${before.join(', ')} and --apply do`;
}

function choiceOf({ finding, resource, id, projection }: RepairFlags): RepairChoice {
  const given = [finding, resource, projection].filter((one) => one !== undefined);
  if (given.length !== 1) throw new KernelError('invalid', 'say one of --finding, --resource and --projection');
  if (id !== undefined && resource === undefined) throw new KernelError('invalid', '--id needs --resource');
  if (finding !== undefined) return { finding };
  return projection === undefined ? { resource: resource as string, id } : { projection };
}

function repairJson({ check, found, plan, outcome }: Repair) {
  return {
    ...differenceLine(check, found),
    ...('either' in plan ? { either: plan.either } : 'does' in plan ? { does: plan.does } : { refused: plan.refused }),
    outcome,
  };
}

function repairText({ check, found, plan, outcome }: Repair): string {
  return plain(`${differenceText(check, found)}. ${outcome}: ${planText(plan)}`);
}

function planText(plan: Plan): string {
  if ('does' in plan) return plan.does;
  if ('refused' in plan) return plan.refused;
  const sides = (['journal', 'model'] satisfies Accept[]).map((side) => {
    const does = plan.either[side];
    return `--accept ${side} ${'does' in does ? does.does : `is refused: ${does.refused}`}`;
  });
  return sides.join('; ');
}
