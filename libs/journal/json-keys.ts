import type { Resource, Row } from './resource.ts';

/**
 * A row's values with the keys that are journaled one by one (`custom.colour`) put back into the objects of their columns. Each column
 * of `jsonKeys` is there: an empty object has no history. Other values are left as they are.
 */
export function gatherJsonKeys(resource: Resource, values: Row): Row {
  const columns = resource.jsonKeys ?? [];
  if (columns.length === 0) return values;
  const plain: [string, unknown][] = [];
  const gathered = new Map(columns.map((column) => [column, [] as [string, unknown][]]));
  for (const [field, value] of Object.entries(values)) {
    const column = columns.find((name) => field.startsWith(`${name}.`));
    if (column !== undefined) gathered.get(column)?.push([field.slice(column.length + 1), value]);
    else if (columns.includes(field)) gathered.get(field)?.unshift(...objectEntries(value));
    else plain.push([field, value]);
  }
  return Object.fromEntries([...plain, ...[...gathered].map(([column, keys]) => [column, Object.fromEntries(keys)])]);
}

/** What the column held as a whole, from before its keys were journaled one by one. */
function objectEntries(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}
