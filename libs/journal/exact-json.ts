/**
 * Parses JSON without losing digits: a number that a JavaScript number cannot hold exactly (a large bigint, a long
 * numeric) comes back as the string of its digits. Uses the source text of JSON.parse's reviver (ES2026).
 */
export function parseExact(text: string): unknown {
  // Up to 15 digits every number survives; the reviver costs several times the parsing.
  return /[\d.]{16}/.test(text) ? JSON.parse(text, keepDigits) : JSON.parse(text);
}

function keepDigits(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || context?.source === undefined) return value;
  const fraction = context.source.includes('.') ? /0+$/ : /$/;
  const digits = context.source.replace(fraction, '').replace('.', '').replace(/^-?0*/, '');
  return digits.length <= 15 || String(value) === context.source ? value : context.source;
}
