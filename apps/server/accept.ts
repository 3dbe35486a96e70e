/** Which of the types that a route offers a client likes best, by its Accept header; of equals, and when it likes none, the first. */
export function preferredType(accept: string | undefined, offers: readonly [string, ...string[]]): string {
  const ranges = (accept ?? '').split(',').map(parseRange);
  let [best, highest]: [string, number] = [offers[0], 0];
  for (const offer of offers) {
    const quality = qualityOf(offer, ranges);
    if (quality > highest) [best, highest] = [offer, quality];
  }
  return best;
}

interface Range {
  readonly type: string;
  readonly quality: number;
}

function parseRange(text: string): Range {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const quality = parameters.find((parameter) => /^q=[01](\.\d{0,3})?$/.test(parameter));
  return { type, quality: quality === undefined ? 1 : Number(quality.slice(2)) };
}

/** The most exact range counts. */
function qualityOf(offer: string, ranges: readonly Range[]): number {
  for (const type of [offer, `${offer.split('/', 1)[0]}/*`, '*/*']) {
    const range = ranges.find((each) => each.type === type);
    if (range) return range.quality;
  }
  return 0;
}
