/** The known word that was probably meant by an unknown one, or undefined when none is near. */
export function suggest(word: string, known: Iterable<string>): string | undefined {
  const meant = comparable(word);
  let nearest: string | undefined;
  let least = Math.max(2, Math.ceil(meant.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(meant, comparable(candidate));
    if (distance < least) [nearest, least] = [candidate, distance];
  }
  return nearest;
}

/** " Did you mean X?", or nothing when no known word is near. */
export function didYouMean(word: string, known: Iterable<string>): string {
  const nearest = suggest(word, known);
  return nearest === undefined ? '' : ` Did you mean ${nearest}?`;
}

// TIDEMARK_PORT means PORT, POOL_SIZE means TIDEMARK_POOL_SIZE
function comparable(word: string): string {
  return word.toLowerCase().replace(/^tidemark_/, '');
}

// Levenshtein: the fewest letters to insert, remove or replace
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
