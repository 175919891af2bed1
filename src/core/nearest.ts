// Finds what a mistyped name was meant to be.

/** The candidate with the fewest edits, if a third of the name or less would have to change. */
export function nearest(
  name: string,
  candidates: Iterable<string>,
  editsMax = Math.ceil(name.length / 3),
): string | undefined {
  let best: string | undefined;
  let fewest = editsMax + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) >= fewest) continue;
    const edits = distance(name, candidate);
    if (edits < fewest) [best, fewest] = [candidate, edits];
  }
  return best;
}

/** Levenshtein distance. Names are short: candidates are ours, and longer input is cut. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
  }
  return row[b.length] ?? 0;
}
