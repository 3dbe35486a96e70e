import { type EntityScope, listEntityKeys } from './consistency.queries.ts';
import { type Validated, type ValidateOptions, type Validating, validateEntities } from './validate-entities.ts';

const PAGE = 500;

/** Validates all entities of a scope, a page at a time, each in a snapshot of its own: a slow reader holds none open. */
export async function* validateScope(
  validating: Validating,
  scope: EntityScope,
  options: ValidateOptions = {},
): AsyncGenerator<Validated[], void> {
  const { database } = validating;
  let keys = await listEntityKeys(database, scope, undefined, PAGE);
  while (keys.length > 0) {
    yield await validateEntities(validating, keys, { by: 'report', ...options });
    if (keys.length < PAGE) return;
    keys = await listEntityKeys(database, scope, keys.at(-1), PAGE);
  }
}
