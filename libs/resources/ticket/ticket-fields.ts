import { characterProblem, isSingleLine, lengthProblem } from '../characters.ts';
import { type FieldError, refuse } from '../refuse.ts';
import { customProblems } from './custom.ts';
import { TEXT_FIELDS, type TextField } from './ticket.ts';

/** What a caller may give of a ticket: any of its text fields, and custom fields, of which null removes one. */
export type TicketFields = { readonly [field in TextField]?: string | undefined } & {
  readonly custom?: Readonly<Record<string, unknown>> | undefined;
};

/** What a field may hold. `lines`: several of them, kept as they are; other fields are one line and lose the blanks around it. */
export interface FieldRule {
  readonly limit: number;
  readonly lines?: true;
  /** Names or words, kept as "a, b" without repetitions. */
  readonly list?: true;
}

const SHORT: FieldRule = { limit: 200 };

/** In characters (code points). */
export const FIELD_RULES: Readonly<Record<TextField, FieldRule>> = {
  summary: { limit: 500 },
  description: { limit: 262_144, lines: true },
  ...{ type: SHORT, status: SHORT, resolution: SHORT, priority: SHORT, severity: SHORT, component: SHORT },
  ...{ milestone: SHORT, version_affected: SHORT, owner: SHORT, reporter: SHORT },
  cc: { limit: 2_000, list: true },
  keywords: { limit: 2_000, list: true },
};
const MAX_COMMENT = 65_536;

/**
 * The fields as they are stored. Throws `invalid` that lists everything that is wrong with them and with the comment, each under the
 * path of its field.
 */
export function checkFields<T extends TicketFields & { readonly comment?: string | undefined }>(
  given: T,
  path = '',
): T {
  const errors: FieldError[] = [];
  const checked: Record<string, unknown> = { ...given };
  for (const field of TEXT_FIELDS) {
    const value = given[field];
    if (value === undefined) continue;
    checked[field] = normalised(value, FIELD_RULES[field]);
    const problem = fieldProblem(field, checked[field] as string);
    if (problem !== undefined) errors.push({ path: path + field, message: `${field} ${problem}` });
  }
  if (given.comment !== undefined) {
    const problem = characterProblem(given.comment) ?? lengthProblem(given.comment, MAX_COMMENT);
    if (problem !== undefined) errors.push({ path: 'comment', message: `comment ${problem}` });
  }
  errors.push(...customProblems(given.custom ?? {}, `${path}custom`));
  refuse(errors);
  return checked as T;
}

/** The names or words of a list, which commas, semicolons or blanks separate. */
export function wordsOf(text: string): string[] {
  return text.split(/[,;\s]+/).filter((word) => word !== '');
}

function normalised(value: string, { lines, list }: FieldRule): string {
  if (list) return [...new Set(wordsOf(value))].join(', ');
  return lines ? value : value.trim();
}

function fieldProblem(field: TextField, value: string): string | undefined {
  const { limit, lines } = FIELD_RULES[field];
  if (value === '' && (field === 'summary' || field === 'status')) return 'must not be empty';
  if (!lines && !isSingleLine(value)) return 'must be a single line';
  return characterProblem(value) ?? lengthProblem(value, limit);
}
