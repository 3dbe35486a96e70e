const MAX_ID = 2n ** 63n - 1n;

/** The id of a text; undefined for what no row can be called: one has only one spelling, and PostgreSQL holds it as a bigint. */
export function parseRowId(text: string): bigint | undefined {
  const id = /^[1-9]\d{0,18}$/.test(text) ? BigInt(text) : undefined;
  return id === undefined || id > MAX_ID ? undefined : id;
}
