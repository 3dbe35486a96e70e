import { isAbsolute } from 'node:path';
import { isProjection } from '#libs/projection';
import { didYouMean } from './suggest.ts';

/** What is wrong with one part of a definition; nothing, when it is as it has to be. */
type Check = (value: unknown) => string[];

const PARTS: Readonly<Record<string, Check>> = {
  name: nameProblems,
  config: (config) => entryProblems('config', config, settingProblems),
  migrations: migrationsProblems,
  resources: (resources) => itemProblems('resources', resources, resourceProblems),
  projections: (projections) => itemProblems('projections', projections, projectionProblems),
  permissions: (table) => entryProblems('permissions', table, permissionProblems),
  checks: (checks) => namedProblems('checks', checks, checkProblems),
  consistencyRules: (rules) => namedProblems('consistencyRules', rules, ruleProblems),
  listeners: (listeners) => (typeof listeners === 'function' ? [] : listenersProblems(listeners)),
};

/** Sentences about what definePlugin() was given, which may be anything: a plugin need not be written in TypeScript. */
export function definitionProblems(definition: unknown): string[] {
  if (!isObject(definition)) return [`definePlugin() takes an object, not ${shown(definition)}.`];
  const unknown = Object.keys(definition).filter((part) => !Object.hasOwn(PARTS, part));
  const problems = Object.entries(PARTS).flatMap(([part, check]) =>
    part === 'name' || definition[part] !== undefined ? check(definition[part]) : [],
  );
  return [
    ...unknown.map((part) => `${part} is no part of a plugin.${didYouMean(part, Object.keys(PARTS))}`),
    ...problems,
  ];
}

/** The same about a list of listeners, also when a function has made it. */
export function listenersProblems(listeners: unknown): string[] {
  return namedProblems('listeners', listeners, listenerProblems);
}

/** About a list of what has a name of its own. */
function namedProblems(what: string, named: unknown, check: Check): string[] {
  const problems = itemProblems(what, named, check);
  if (problems.length > 0) return problems;
  const names = (named as { name: string }[]).map(({ name }) => name);
  const twice = new Set(names.filter((name, n) => names.indexOf(name) !== n));
  return [...twice].map((name) => `two ${what} are called ${name}.`);
}

function nameProblems(name: unknown): string[] {
  if (typeof name === 'string' && name.length <= 40 && /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) return [];
  return [`name is ${shown(name)}: it has to be small letters and digits, parted by "-", 40 at most.`];
}

function migrationsProblems(folder: unknown): string[] {
  if (folder instanceof URL && folder.protocol === 'file:') return [];
  if (typeof folder === 'string' && isAbsolute(folder)) return [];
  const wanted = "new URL('migrations/', import.meta.url), or an absolute path";
  return [`migrations is ${shown(folder)}: it has to be a folder, ${wanted}.`];
}

function settingProblems(key: string, setting: unknown): string[] {
  if (!/^[a-z][a-zA-Z0-9]*$/.test(key)) return [`the setting ${key} has to be called as a variable is, like apiKey.`];
  if (!isObject(setting) || typeof setting['sentence'] !== 'string' || typeof setting['read'] !== 'function') {
    return [`the setting ${key} has to be { sentence, read(text), fallback? }.`];
  }
  if (setting['fallback'] === undefined || typeof setting['fallback'] === 'string') return [];
  return [`the fallback of the setting ${key} has to be text, as it would be in the environment.`];
}

function resourceProblems(resource: unknown): string[] {
  if (isObject(resource) && typeof resource['name'] === 'string' && Array.isArray(resource['key'])) return [];
  return [`resources holds ${shown(resource)}, which is not made by defineResource().`];
}

function projectionProblems(projection: unknown): string[] {
  return isProjection(projection)
    ? []
    : [`projections holds ${shown(projection)}, which is not made by defineProjection().`];
}

function permissionProblems(resource: string, actions: unknown): string[] {
  return entryProblems(`permissions.${resource}`, actions, (action, cell) =>
    Array.isArray(cell) && cell.length === 2 && cell.every((part) => typeof part === 'string')
      ? []
      : [`permissions.${resource}.${action} has to be [who at least, what it is], like ['viewer', 'see it'].`],
  );
}

function listenerProblems(listener: unknown): string[] {
  if (!isObject(listener)) return [`listeners holds ${shown(listener)}, which is no listener.`];
  const { name } = listener;
  if (!isPartName(name)) return [partNameProblem('listener', name)];
  const calls = ['onPrimary', 'onSecondary', 'onDelivered'];
  if (calls.some((call) => typeof listener[call] === 'function')) return [];
  return [`the listener ${name} has none of ${calls.join(', ')}.`];
}

function checkProblems(check: unknown): string[] {
  if (!isObject(check)) return [`checks holds ${shown(check)}, which is no check.`];
  const { name, resource, find, repair } = check;
  if (!isPartName(name)) return [partNameProblem('check', name)];
  if (typeof resource !== 'string' || resource === '') return [`the check ${name} does not say what it is about.`];
  if (typeof find !== 'function') return [`the check ${name} has no find(db, look).`];
  if (repair === undefined || typeof repair === 'function') return [];
  return [`the repair of the check ${name} is ${shown(repair)}: it has to be a function.`];
}

function ruleProblems(rule: unknown): string[] {
  if (!isObject(rule)) return [`consistencyRules holds ${shown(rule)}, which is no rule.`];
  const { name, description, judge } = rule;
  if (!isPartName(name)) return [partNameProblem('rule', name)];
  if (typeof judge !== 'function') return [`the rule ${name} has no judge(entity, tasks).`];
  if (description === undefined || typeof description === 'string') return [];
  return [`the description of the rule ${name} is ${shown(description)}: it has to be text.`];
}

function isPartName(name: unknown): name is string {
  return typeof name === 'string' && /^[a-z][a-z0-9]*([-_][a-z0-9]+)*$/.test(name);
}

function partNameProblem(part: string, name: unknown): string {
  return `a ${part} is called ${shown(name)}: its name has to be small letters and digits, parted by "-" or "_".`;
}

function entryProblems(part: string, value: unknown, check: (key: string, value: unknown) => string[]): string[] {
  if (!isObject(value) || Array.isArray(value)) return [`${part} is ${shown(value)}: it has to be an object.`];
  return Object.entries(value).flatMap(([key, item]) => check(key, item));
}

function itemProblems(part: string, value: unknown, check: Check): string[] {
  if (!Array.isArray(value)) return [`${part} is ${shown(value)}: it has to be an array.`];
  return value.flatMap(check);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (isObject(value)) return Array.isArray(value) ? 'an array' : 'an object';
  return typeof value === 'function' ? 'a function' : String(value);
}
