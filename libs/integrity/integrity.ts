import { KernelError } from '#libs/database';
import type { Log } from '#libs/dispatch';
import type { Actor, Writer } from '#libs/journal';
import type { Projection } from '#libs/projection';
import type { Check, CheckDefinition, RepairTools } from './check.ts';
import { selectResources } from './drift.queries.ts';
import { driftCheck } from './drift.ts';
import { selectPlace } from './findings.queries.ts';
import { journalCheck } from './journal-gaps.ts';
import { definedCheck } from './plugin-check.ts';
import { projectionCheck } from './projection-check.ts';
import { type Repaired, type RepairOptions, type RepairTarget, repair } from './repair.ts';
import { type CheckStatus, Schedule } from './schedule.ts';
import { type Verified, type VerifyOptions, verify } from './verify.ts';

/** What a schedule's findings are journaled as: nobody has done anything. */
const NOBODY: Actor = { author: 'tidemark' };

export interface IntegrityOptions extends RepairTools {
  readonly writer: Writer;
  readonly log: Log;
  projections(): readonly Projection[];
  /** 0: nothing runs by itself. */
  readonly rowsPerSecond: number;
}

/** Which checks: all, or those of a resource, or of a projection. */
export interface CheckChoice {
  readonly resource?: string | undefined;
  readonly projection?: string | undefined;
}

/** Which violations are to be repaired: that of a finding, those of a resource (or of one row of it), or those of a projection. */
export type RepairChoice =
  | { readonly finding: number }
  | { readonly resource: string; readonly id?: string | undefined }
  | { readonly projection: string };

/** Whether the data are as they have to be: the checks of one database, as one process knows them. */
export class Integrity {
  readonly #options: IntegrityOptions;
  readonly #defined: Check[] = [];
  readonly #schedule: Schedule | undefined;

  constructor(options: IntegrityOptions) {
    this.#options = options;
    const { database, log, rowsPerSecond } = options;
    if (rowsPerSecond > 0) {
      this.#schedule = new Schedule({
        ...{ database, log, rowsPerSecond, actor: NOBODY },
        atomic: (work) => options.atomic(work),
        checks: () => this.checks(),
      });
    }
  }

  /** Adds a check; before start. KernelError `configuration` when another one has its name. */
  add(definition: CheckDefinition, name: string = definition.name): void {
    if (OWN.includes(name) || this.#defined.some((check) => check.name === name)) {
      throw new KernelError('configuration', `two checks are called ${name}`);
    }
    this.#defined.push(definedCheck(this.#options.database, name, definition));
  }

  /** The checks there are. Throws `invalid` for a resource that is not journaled and a projection that this program does not know. */
  async checks({ resource, projection }: CheckChoice = {}): Promise<Check[]> {
    const { database } = this.#options;
    const resources = await selectResources(database);
    const projections = this.#options.projections();
    refuseUnknown('resource', resource, [...resources, ...this.#defined.map((check) => ({ name: check.resource }))]);
    refuseUnknown('projection', projection, projections);
    const all = resource === undefined && projection === undefined;
    const rows = resources.filter(({ name }) => all || name === resource);
    return [
      ...rows.flatMap(({ name, exists }) => [
        ...(exists ? [driftCheck(database, name)] : []),
        journalCheck(database, name),
      ]),
      ...projections.filter(({ name }) => all || name === projection).map((one) => projectionCheck(database, one)),
      ...this.#defined.filter((check) => all || check.resource === resource),
    ];
  }

  /** Runs checks now, over everything. */
  async verify(choice: CheckChoice, options: VerifyOptions): Promise<Verified> {
    const { writer, database } = this.#options;
    return verify({ writer, database }, await this.checks(choice), options);
  }

  /** Repairs, or says what it would do. Throws `not_found` for a finding that is none; further see repair(). */
  async repair(choice: RepairChoice, options: RepairOptions): Promise<Repaired> {
    return repair(this.#options, await this.#target(choice), options);
  }

  start(): void {
    this.#schedule?.start();
  }

  async stop(): Promise<void> {
    await this.#schedule?.stop();
  }

  /** What the schedule of this process has done. */
  status(): CheckStatus[] {
    const done = new Map(this.#schedule?.status().map((status) => [status.check, status]));
    const names = [...OWN, ...this.#defined.map(({ name }) => name)];
    return names.map((check) => done.get(check) ?? { check, looks: 0, rows: 0, failed: 0 });
  }

  async #target(choice: RepairChoice): Promise<RepairTarget> {
    if ('projection' in choice) return { checks: await this.checks({ projection: choice.projection }) };
    if ('finding' in choice) return this.#targetOf(choice.finding);
    const checks = await this.checks({ resource: choice.resource });
    if (choice.id === undefined) return { checks };
    const { id } = choice;
    // the others know rows by other places
    return { checks: checks.filter(({ name }) => name === 'drift'), places: [id] };
  }

  async #targetOf(finding: number): Promise<RepairTarget> {
    const place = await selectPlace(this.#options.database, finding);
    if (place === undefined) throw new KernelError('not_found', `there is no finding ${finding}`);
    const check = (await this.checks()).find(
      ({ name, resource }) => name === place.check_name && resource === place.resource,
    );
    if (check === undefined) {
      const which = `${place.check_name} of ${place.resource}`;
      throw new KernelError('conflict', `finding ${finding} is one of the check ${which}, which this program has not`);
    }
    return check.whole ? { checks: [check] } : { checks: [check], places: [place.place] };
  }
}

const OWN = ['drift', 'journal', 'projection', 'rebuilt'];

function refuseUnknown(what: string, name: string | undefined, known: readonly { name: string }[]): void {
  if (name === undefined || known.some((one) => one.name === name)) return;
  const there = [...new Set(known.map((one) => one.name))].join(', ') || 'none';
  throw new KernelError('invalid', `there is no ${what} ${JSON.stringify(name)}: there is ${there}`);
}
