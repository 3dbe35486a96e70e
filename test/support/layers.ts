import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from './repository-root.ts';

/** The one list from which the layer rule is checked: a library imports only libraries before it. */
const LAYERS = [
  'database',
  'migrations',
  'embedded',
  'journal',
  'dispatch',
  'effects',
  'projection',
  'integrity',
  'access',
  'listeners',
  'kernel',
  'testing',
  'tidemark',
  'nest',
];
/** The domain stands beside the layers: it imports these, and no library imports it. */
const RESOURCES_MAY_IMPORT = [
  'database',
  'journal',
  'dispatch',
  'effects',
  'projection',
  'integrity',
  'listeners',
  'kernel',
  'resources',
];

/** What only these places may use. */
const RESERVED: { what: RegExp; where: RegExp; rule: string }[] = [
  { what: /(from|import)\s*\(?\s*['"]pg['"]/, where: /^libs\/database\//, rule: 'pg is used in libs/database only' },
  {
    what: /(from|import)\s*\(?\s*['"]@nestjs\//,
    where: /^(libs\/nest|apps\/server)\//,
    rule: '@nestjs is used in libs/nest and apps/server only',
  },
  {
    what: /process\.env/,
    where: /^libs\/kernel\/config\.ts$|^apps\/bench\//,
    rule: 'process.env is read in libs/kernel/config.ts only',
  },
  { what: /\bconsole\./, where: /^apps\//, rule: 'console is used in apps/ only' },
];

/** Every violation of the layer rule, as "file: rule". */
export function layerViolations(root: string): string[] {
  const files = globSync(['libs/**/*.ts', 'apps/**/*.ts'], {
    cwd: root,
    exclude: ['**/node_modules/**', '**/dist/**', 'apps/bench/**'],
  });
  return files.sort().flatMap((file) => violationsOf(file, readFileSync(join(root, file), 'utf8')));
}

function violationsOf(file: string, source: string): string[] {
  const reserved = RESERVED.filter(({ what, where }) => what.test(source) && !where.test(file)).map(({ rule }) => rule);
  const imports = [...source.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] as string);
  return [...reserved, ...imports.flatMap((target) => importViolation(file, target))].map((rule) => `${file}: ${rule}`);
}

function importViolation(file: string, target: string): string[] {
  const [area, library] = file.split('/') as [string, string];
  const depth = file.split('/').length - (area === 'libs' ? 3 : 2);
  const climbs = target.split('/').filter((part) => part === '..').length;
  if (target.startsWith('..') && climbs > depth)
    return [`reaches out of ${area === 'libs' ? `libs/${library}` : area} by ${target}`];
  const imported = /^#libs\/([^/]+)$/.exec(target)?.[1];
  if (imported === undefined || area !== 'libs') return [];
  const allowed = library === 'resources' ? RESOURCES_MAY_IMPORT : LAYERS.slice(0, LAYERS.indexOf(library));
  return allowed.includes(imported) ? [] : [`${library} may not import ${imported}`];
}

if (process.argv[1] === import.meta.filename) {
  const violations = layerViolations(repositoryRoot());
  for (const violation of violations) process.stderr.write(`${violation}\n`);
  process.exitCode = violations.length > 0 ? 1 : 0;
}
