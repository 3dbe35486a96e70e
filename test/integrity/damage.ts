import type { RepairChoice, RepairOptions } from '#libs/integrity';
import type { Kernel } from '#libs/kernel';

// What checks say of tables that a superuser has changed past their triggers.

export const OPERATOR = { author: 'ann', comment: 'somebody was here' };

/** What all checks, or some, find: `check resource id field kind expected actual`, as JSON. */
export async function found(kernel: Kernel, choice = {}, page = 3): Promise<unknown[][]> {
  const lines: unknown[][] = [];
  await kernel.integrity.verify(choice, {
    actor: { author: 'tidemark' },
    page,
    onFound: (check, { found: one }) => {
      lines.push([check.name, check.resource, one.id, one.field, one.kind, one.expected, one.actual]);
    },
  });
  return lines;
}

/** Repairs, and tells of each violation what was planned and what became of it. */
export async function repaired(
  kernel: Kernel,
  choice: RepairChoice,
  options: Partial<RepairOptions> = {},
): Promise<string[]> {
  const lines: string[] = [];
  await kernel.integrity.repair(choice, {
    ...{ actor: OPERATOR, apply: true, ...options },
    onRepair: ({ check, found: one, plan, outcome }) => {
      const what = 'does' in plan ? plan.does : 'refused' in plan ? plan.refused : 'either';
      lines.push(`${check.name} ${one.id} ${one.field ?? ''} ${one.kind}: ${what}: ${outcome}`);
    },
  });
  return lines;
}
