import type { Connection } from '#libs/database';
import type { RepairChoice, RepairOptions } from '#libs/integrity';
import type { Kernel } from '#libs/kernel';
import type { Boxes } from '../projection/boxes.ts';

// What a superuser does to tables past their triggers, and what checks then say.

/** Runs statements with the triggers of all tables off, as a restore or a repair by hand does. */
export async function pastTriggers(all: Pick<Boxes, 'owner'>, ...statements: readonly string[]): Promise<void> {
  const connection: Connection = await all.owner.connect();
  try {
    await connection.query('BEGIN');
    const { rows } = await connection.query<{ table: string; trigger: string }>(
      `SELECT tgrelid::regclass::text AS table, quote_ident(tgname) AS trigger FROM pg_trigger WHERE tgenabled = 'A' AND NOT tgisinternal`,
    );
    for (const { table, trigger } of rows) await connection.query(`ALTER TABLE ${table} DISABLE TRIGGER ${trigger}`);
    for (const statement of statements) await connection.query(statement);
    for (const { table, trigger } of rows) {
      await connection.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${trigger}`);
    }
    await connection.query('COMMIT');
    connection.release();
  } catch (error) {
    connection.release(error as Error);
    throw error;
  }
}

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
      const what = 'does' in plan ? plan.does : plan.refused;
      lines.push(`${check.name} ${one.id} ${one.field ?? ''} ${one.kind}: ${what}: ${outcome}`);
    },
  });
  return lines;
}
