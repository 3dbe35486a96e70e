/** One metric of a scrape: its samples by name and labels as written. */
export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: Map<string, number>;
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? ([+-]?(?:\\d[\\d.e+-]*|Inf)|NaN)$`);
const TYPES = ['counter', 'gauge', 'histogram', 'summary', 'untyped'];

/** Reads Prometheus' text format; throws where a line breaks a rule of the format, or of naming and histograms. */
export function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, Family>();
  let current: [string, Family] | undefined;
  let help: [string, string] | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (line === '') continue;
    if (keyword === 'HELP') help = [name, rest];
    else if (keyword === 'TYPE') current = [name, open(families, name, rest, help)];
    else addSample(line, current);
  }
  for (const [name, family] of families) check(name, family);
  return families;
}

function open(families: Map<string, Family>, name: string, type: string, help: [string, string] | undefined): Family {
  if (!new RegExp(`^${NAME}$`).test(name)) throw new Error(`${name} is no name`);
  if (!TYPES.includes(type)) throw new Error(`${name} has the unknown type ${type}`);
  if (help?.[0] !== name || help[1] === '') throw new Error(`${name} has no HELP line before its TYPE line`);
  if (families.has(name)) throw new Error(`${name} comes twice`);
  const family = { type, help: help[1], samples: new Map<string, number>() };
  families.set(name, family);
  return family;
}

function addSample(line: string, current: [string, Family] | undefined): void {
  const [, name = '', labels = '', value = ''] = SAMPLE.exec(line) ?? [];
  if (name === '') throw new Error(`not a sample: ${line}`);
  const [family, { type, samples }] = current ?? ['', { type: '', samples: new Map() }];
  const suffixes =
    type === 'histogram' ? ['_bucket', '_sum', '_count'] : type === 'summary' ? ['', '_sum', '_count'] : [''];
  if (!suffixes.some((suffix) => name === family + suffix)) throw new Error(`${name} stands under ${family}`);
  const names = labels.match(new RegExp(LABEL, 'g'))?.map((label) => label.split('=')[0]) ?? [];
  if (new Set(names).size < names.length) throw new Error(`a label comes twice: ${line}`);
  const key = labels === '' ? name : `${name}{${labels}}`;
  if (samples.has(key)) throw new Error(`a series comes twice: ${key}`);
  samples.set(key, Number(value.replace('Inf', 'Infinity')));
}

function check(name: string, { type, samples }: Family): void {
  if ((type === 'counter') !== name.endsWith('_total'))
    throw new Error(`${name}: _total is for counters, and for all of them`);
  if (/_(milliseconds|ms|minutes|hours|kb|mb|percent)(_|$)/i.test(name)) throw new Error(`${name}: not a base unit`);
  if (type === 'counter' && samples.values().some((value) => !(value >= 0))) throw new Error(`${name} is below 0`);
  if (type !== 'histogram') return;
  const buckets = Map.groupBy(
    samples.keys().filter((key) => key.startsWith(`${name}_bucket`)),
    (key) =>
      key
        .replace(/le="[^"]*",?/, '')
        .replace(/,?\}$/, '}')
        .replace('{}', ''),
  );
  for (const [series, keys] of buckets) checkBuckets(name, series, keys, samples);
}

function checkBuckets(name: string, series: string, keys: readonly string[], samples: Map<string, number>): void {
  const bounds = keys.map((key) => Number(/le="([^"]*)"/.exec(key)?.[1]?.replace('Inf', 'Infinity')));
  const counts = keys.map((key) => samples.get(key) as number);
  const ascends = (values: number[]) => values.every((value, n) => n === 0 || value >= (values[n - 1] as number));
  if (!ascends(bounds) || !ascends(counts)) throw new Error(`the buckets of ${series} do not ascend`);
  const count = samples.get(series.replace(`${name}_bucket`, `${name}_count`));
  if (bounds.at(-1) !== Number.POSITIVE_INFINITY || counts.at(-1) !== count) {
    throw new Error(`the last bucket of ${series} is not its count`);
  }
}
