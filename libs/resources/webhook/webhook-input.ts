import type { Resource } from '#libs/journal';
import { characterProblem, lengthProblem } from '../characters.ts';
import { type FieldError, refuse } from '../refuse.ts';
import { type WebhookFilter, webhook } from './webhook.ts';

/** What a caller may give of a webhook. */
export interface WebhookInput {
  readonly url?: string | undefined;
  readonly description?: string | undefined;
  readonly filter?: WebhookFilterInput | undefined;
  readonly enabled?: boolean | undefined;
}

export interface WebhookFilterInput {
  readonly resources: readonly string[];
  readonly fields?: readonly string[] | null | undefined;
  readonly project?: string | null | undefined;
}

/** By what the input of a webhook is judged. */
export interface WebhookRules {
  /** Those that a webhook may be told of. */
  readonly resources: ReadonlyMap<string, Resource>;
  /** Why a host can never be called. */
  hostProblem(host: string): string | undefined;
}

/** What is stored of a webhook's input. */
export interface WebhookValues {
  readonly url?: string;
  readonly description?: string;
  readonly filter?: string;
  readonly enabled?: boolean;
}

const MAX_URL = 2_000;
const MAX_DESCRIPTION = 1_000;
const MAX_NAMES = 100;

/** The input as it is stored. Throws `invalid` that lists everything that is wrong with it. */
export function checkWebhook({ url, description, filter, enabled }: WebhookInput, rules: WebhookRules): WebhookValues {
  const errors = [
    ...problem('url', url === undefined ? undefined : urlProblem(url, rules)),
    ...problem('description', description === undefined ? undefined : descriptionProblem(description)),
    ...(filter === undefined ? [] : filterProblems(filter, rules)),
  ];
  refuse(errors);
  return {
    ...(url === undefined ? {} : { url: new URL(url).href }),
    ...(description === undefined ? {} : { description }),
    ...(filter === undefined ? {} : { filter: JSON.stringify(filterOf(filter)) }),
    ...(enabled === undefined ? {} : { enabled }),
  };
}

function filterOf({ resources, fields, project }: WebhookFilterInput): WebhookFilter {
  return {
    resources: [...new Set(resources)],
    fields: fields ? [...new Set(fields)] : null,
    project: project ?? null,
  };
}

function urlProblem(text: string, { hostProblem }: WebhookRules): string | undefined {
  if (text.length > MAX_URL) return `must not exceed ${MAX_URL} characters`;
  const url = URL.parse(text);
  if (!url || !['http:', 'https:'].includes(url.protocol)) return 'must be a URL with http:// or https://';
  if (url.username !== '' || url.password !== '') return 'must not hold a user name or a password: it is journaled';
  if (url.hash !== '') return 'must not have a fragment: it is never sent';
  return hostProblem(url.hostname);
}

function descriptionProblem(text: string): string | undefined {
  return lengthProblem(text, MAX_DESCRIPTION) ?? characterProblem(text);
}

function filterProblems({ resources, fields, project }: WebhookFilterInput, rules: WebhookRules): FieldError[] {
  const known = [...rules.resources.keys()].filter((name) => name !== webhook.name);
  const unscoped = resources.filter((name) => rules.resources.get(name)?.project === undefined);
  const scoped = project === undefined || project === null || unscoped.length === 0;
  return [
    ...problem('filter.resources', countProblem(resources)),
    ...resources.flatMap((name, n) =>
      problem(`filter.resources.${n}`, known.includes(name) ? undefined : `must be one of ${known.join(', ')}`),
    ),
    ...(fields ? problem('filter.fields', countProblem(fields)) : []),
    ...(fields ?? []).flatMap((name, n) => problem(`filter.fields.${n}`, characterProblem(name))),
    ...problem('filter.project', project ? characterProblem(project) : undefined),
    ...problem('filter.project', scoped ? undefined : `does not fit: rows of ${unscoped.join(', ')} have no project`),
  ];
}

function countProblem(names: readonly string[]): string | undefined {
  if (names.length === 0) return 'must name one at least';
  return names.length > MAX_NAMES ? `must not name more than ${MAX_NAMES}` : undefined;
}

function problem(path: string, message: string | undefined): FieldError[] {
  return message === undefined ? [] : [{ path, message: `${path} ${message}` }];
}
