import { KernelError } from '#libs/database';
import { type Log, reason } from '#libs/dispatch';

/** What a rule finds wrong. */
export interface Violation {
  /** What is wrong: `tasks.7.due_date`, say. */
  readonly field: string;
  /** As it is; what JSON can hold. */
  readonly actual?: unknown;
}

/** A rule in code about a thing and its parts: whoever validates these says what they are. */
export interface RuleDefinition<Thing = unknown, Part = unknown> {
  /** Small letters and digits, parted by `-` or `_`. */
  readonly name: string;
  /** What has to be so, in a few words. */
  readonly description?: string;
  /** What is wrong with a thing; nothing, when the rule is kept. Pure, and at once: it is given what was read, and cannot change it. */
  judge(thing: Thing, parts: readonly Part[]): readonly Violation[];
}

/** What is wrong by a rule. */
export interface Judgement {
  readonly field: string;
  /** The rule: its name, and its description. */
  readonly expected: string;
  readonly actual: unknown;
}

const WANTED = 'a list of { field, actual }';
const MOST_VIOLATIONS = 1_000;
const MOST_TEXT = 10_000;

/** The rules that programs and plugins have in code. Throws `configuration` when two have one name. */
export class Rules {
  readonly all: readonly RuleDefinition[];
  readonly #log: Log;
  readonly #failed = new Set<string>();

  constructor(all: readonly RuleDefinition[], log: Log) {
    const names = new Set<string>();
    for (const { name } of all) {
      if (names.has(name)) throw new KernelError('configuration', `two rules are called ${name}`);
      names.add(name);
    }
    this.all = all;
    this.#log = log;
  }

  /**
   * What is wrong with a thing, which is frozen before. A rule that throws, or says what makes no sense, is told as `rules.<name>` in place
   * of what it would say: whether it is kept nobody knows. The others judge all the same.
   */
  judge(thing: object, parts: readonly object[]): Judgement[] {
    if (this.all.length === 0) return [];
    freeze(thing);
    freeze(parts);
    return this.all.flatMap((rule) => this.#judge(rule, thing, parts));
  }

  #judge(rule: RuleDefinition, thing: object, parts: readonly object[]): Judgement[] {
    const { name, description } = rule;
    const expected = description === undefined ? name : `${name}: ${description}`;
    try {
      return violations(rule.judge(thing, parts)).map((violation) => ({ ...violation, expected }));
    } catch (error) {
      const actual = explain(error);
      if (!this.#failed.has(name)) this.#log.error({ rule: name, thing, reason: actual }, 'a rule has failed');
      this.#failed.add(name);
      return [{ field: `rules.${name}`, expected: WANTED, actual }];
    }
  }
}

class Nonsense extends Error {}

// It may be anything: a rule need not be written in TypeScript.
function violations(said: unknown): { field: string; actual: unknown }[] {
  // nobody waits for a promise, and one that is rejected would end the process
  if (said instanceof Promise) said.catch(() => undefined);
  if (!Array.isArray(said)) throw new Nonsense(`it returned ${kindOf(said)}`);
  if (said.length > MOST_VIOLATIONS) {
    throw new Nonsense(`it returned ${said.length} violations, and ${MOST_VIOLATIONS} are the most`);
  }
  return Array.from(said as unknown[], violation);
}

function violation(one: unknown): { field: string; actual: unknown } {
  if (typeof one !== 'object' || one === null) throw new Nonsense(`it returned a list with ${kindOf(one)} in it`);
  const { field, actual = null } = one as Partial<Violation>;
  if (typeof field !== 'string' || field === '' || field.length > 200) {
    throw new Nonsense('it returned a violation whose field is no text of 1 to 200 characters');
  }
  const text: string | undefined = JSON.stringify(actual);
  if (text === undefined) throw new Nonsense(`it returned ${kindOf(actual)} as the actual value of ${field}`);
  if (text.length > MOST_TEXT)
    throw new Nonsense(`it returned an actual value of ${field} of more than 10,000 characters`);
  return { field, actual: JSON.parse(text) };
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (value instanceof Promise) return 'a promise';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function explain(error: unknown): string {
  if (error instanceof Nonsense) return error.message;
  try {
    return `it threw: ${reason(error).slice(0, 500)}`;
  } catch {
    return 'it threw what cannot be told';
  }
}

function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  Object.freeze(value);
  for (const inner of Object.values(value)) freeze(inner);
}
