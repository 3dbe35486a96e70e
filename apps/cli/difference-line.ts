import type { Check, Found } from '#libs/integrity';

/** A difference as it is printed: the names of HTTP. */
export function differenceLine(check: Check, { id, field, kind, expected, actual, since }: Found) {
  return {
    ...{ check_name: check.name, resource: check.resource, row_id: id, field, kind, expected, actual },
    since_tid: since,
  };
}
