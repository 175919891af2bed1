// What a run showed, as one table for people.
import type { ChaosOptions, Verdict } from './chaos.ts';

export function verdictTable({ seed, jobs }: ChaosOptions, verdict: Verdict): string {
  const { seconds, kills, submitted, accepted, drained, found, faults } = verdict;
  const { ended } = drained;
  const attempts = ended.reduce((sum, job) => sum + job.attempts, 0);
  const rows: readonly (readonly [string, string])[] = [
    ['seed', String(seed)],
    ['seconds', seconds.toFixed(1)],
    ['killed', counted(kills)],
    ['jobs ordered', String(jobs)],
    ['accepted (202)', String(accepted)],
    ['ordered again', counted(submitted.again)],
    ['repeated after 202', String(submitted.repeats)],
    ['cancelled, hurried', `${submitted.cancels}, ${submitted.hurried}`],
    ['ended', counted(tally(ended.map(({ status, code }) => (code === undefined ? status : `${status} ${code}`))))],
    ['attempts', `${attempts}, more than one: ${ended.filter((job) => job.attempts > 1).length}`],
    ['held by nobody', String(drained.stale)],
    ['calls at the provider', `${found.arrivals}, repeated: ${found.repeated_calls}`],
    ['rows in the ledger', `${found.rows}, estimated: ${found.estimated}`],
    ['lost', String(found.lost)],
    ['doubled', String(found.doubled)],
    ['phantom', String(found.phantom)],
    ['unsettled', String(found.unsettled)],
    ['cost mismatch', String(found.cost_mismatch)],
    ['faults', String(faults.length)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return [
    ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    ...faults.map((fault) => `  ${fault}`),
  ].join('\n');
}

const counted = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name} ${count}`)
    .join(', ') || 'none';

function tally(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}
