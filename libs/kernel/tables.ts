import { KernelError, type Queryable } from '#libs/database';
import type { Log } from '#libs/dispatch';
import type { Resource } from '#libs/journal';
import { selectTableFacts, selectTableProblems, type TableFacts } from './tables.queries.ts';

/**
 * Checks that the table of each resource is journaled as its definition says. Throws 'configuration' with a sentence for
 * each that is not. What is wrong with journaled tables of other programs is only logged.
 */
export async function checkTables(db: Queryable, resources: readonly Resource[], log: Log): Promise<void> {
  const [facts, found] = await Promise.all([selectTableFacts(db, resources), selectTableProblems(db)]);
  const names = new Set(resources.map(({ name }) => name));
  const problems = facts.flatMap((table, n) => problemsOf(table, resources[n] as Resource));
  for (const { resource, relation, problem } of found) {
    const sentence = `table ${relation}: ${problem}. Call tidemark.journal_table('${relation}') in a migration.`;
    if (names.has(resource)) problems.push(sentence);
    else log.warn({ resource, relation }, sentence);
  }
  if (problems.length > 0) {
    throw new KernelError('configuration', problems.join('\n'), {
      errors: problems.map((message) => ({ path: 'resources', message })),
    });
  }
}

function problemsOf(found: TableFacts, resource: Resource): string[] {
  const { name, table, key, alias, project, versioned } = resource;
  const jsonKeys = (resource.jsonKeys ?? []).toSorted().join(', ');
  if (!found.exists) return [`table ${table} of the resource ${name} does not exist, or is not on the search path.`];
  const call = `tidemark.journal_table('${table}'${table === name ? '' : `, resource => '${name}'`}${versioned ? ', row_version => true' : ''}${jsonKeys && `, json_keys => '{${jsonKeys}}'`})`;
  if (found.journaled_as === null) return [`table ${table} is not journaled: call ${call} in a migration.`];
  const problems: string[] = [];
  if (found.journaled_as !== name) {
    problems.push(
      `table ${table} is journaled as ${found.journaled_as}: define the resource under that name, not ${name}.`,
    );
  }
  if (versioned && !found.versioned) {
    problems.push(
      `table ${table} has no row_version: call ${call} in a migration, or define ${name} with versioned: false.`,
    );
  }
  const journaledKeys = (found.json_keys ?? []).toSorted().join(', ');
  if (journaledKeys !== jsonKeys) {
    problems.push(
      `table ${table} journals the keys of (${journaledKeys}) one by one, and ${name} has jsonKeys (${jsonKeys}): call tidemark.journal_table('${table}', json_keys => '{${jsonKeys}}') in a migration, or define ${name} so.`,
    );
  }
  if (found.key.join() !== key.join()) {
    problems.push(
      `the primary key of table ${table} is (${found.key.join(', ')}), not (${key.join(', ')}) as ${name} has it.`,
    );
  }
  if (found.alias_unique === false) {
    problems.push(`no unique index of table ${table} covers exactly ${alias}, the alias of ${name}.`);
  }
  if (found.project_found === false) {
    problems.push(`table ${table} has no journaled column ${project}, which is to hold the project of ${name}.`);
  }
  return problems;
}
