import { z } from 'zod';
import {
  customNameProblem,
  MAX_BATCH,
  SORTS,
  type Sort,
  TEXT_FIELDS,
  type TextField,
  type TicketListOptions,
} from '#libs/resources';
import { body, paging, text } from '../validation.ts';

const field = z.string().optional();
const Fields = Object.fromEntries(TEXT_FIELDS.map((name) => [name, field])) as Record<TextField, typeof field>;
const custom = z.record(z.string(), z.unknown()).optional();
const comment = z.string().optional();

export const NewTicketBody = body({ ...Fields, summary: z.string(), custom }).meta({
  id: 'NewTicket',
  examples: [{ summary: 'The door sticks', priority: 'major', custom: { floor: 2 } }],
});
export const TicketPatchBody = body({ ...Fields, custom, action: z.string().optional(), comment }).meta({
  id: 'TicketPatch',
  examples: [{ priority: 'minor', comment: 'It does' }],
});
export const TicketBatchBody = body({
  ids: z
    .array(z.union([z.string(), z.int()]))
    .min(1)
    .max(MAX_BATCH),
  set: body({ ...Fields, custom, action: z.string().optional() }),
  comment,
}).meta({ id: 'TicketBatch', examples: [{ ids: ['7', '9'], set: { milestone: 'May' }, comment: 'for May' }] });

const CUSTOM = 'custom.';
const values = z
  .union([text().transform((value) => [value]), z.array(z.string())])
  .optional()
  .meta({ description: 'Only those with one of these; empty: with none' });
const filters = Object.fromEntries(TEXT_FIELDS.map((name) => [name, values])) as Record<TextField, typeof values>;
const sorts = SORTS.flatMap((sort) => [sort, `-${sort}`]);

/** The filters of a list: a field, or `custom.<name>`, once or several times. An empty value asks for an empty field. */
export const TicketListQuery = z.preprocess(
  gatherCustom,
  z.strictObject(
    {
      ...{ ...paging, ...filters },
      sort: z
        .enum(sorts, `must be one of ${SORTS.join(', ')}, with - before it for the other direction`)
        .default('id')
        .meta({ description: 'By what; with - before it, the other way round' }),
      // the names first: a record would drop __proto__
      [CUSTOM]: z.unknown().superRefine(refuseNames).pipe(z.record(z.string(), values)).optional().meta({ wire: null }),
    },
    {
      error: (issue) => (issue.code === 'unrecognized_keys' ? 'is no filter of tickets' : undefined),
    },
  ),
);

/** What a list is asked for, but its place. */
export function listOf(query: z.infer<typeof TicketListQuery>): Omit<TicketListOptions, 'after' | 'limit'> {
  const { sort, limit: _limit, cursor: _cursor, [CUSTOM]: byName = {}, ...fields } = query;
  const descending = sort.startsWith('-');
  return {
    fields,
    custom: byName as Record<string, string[]>,
    ...{ sort: (descending ? sort.slice(1) : sort) as Sort, descending },
  };
}

function gatherCustom(given: unknown): Record<string, unknown> {
  const named: [string, unknown][] = [];
  const byName: [string, unknown][] = [];
  for (const [name, value] of Object.entries(given as object)) {
    if (name.startsWith(CUSTOM)) byName.push([name.slice(CUSTOM.length), value]);
    else if (value !== '' || Object.hasOwn(filters, name)) named.push([name, value]);
  }
  return { ...Object.fromEntries(named), ...(byName.length > 0 && { [CUSTOM]: Object.fromEntries(byName) }) };
}

function refuseNames(byName: unknown, context: z.RefinementCtx): void {
  for (const name of Object.keys(byName ?? {})) {
    const problem = customNameProblem(name);
    if (problem !== undefined) context.addIssue(`custom field ${JSON.stringify(name.slice(0, 100))} ${problem}`);
  }
}
