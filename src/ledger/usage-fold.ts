// Folds usage events into SQL, each key once, in any order and however often it comes (worker 14.4).
// F1. Only a row that is new adds to `spend`, in the transaction that makes it.
// F2. A first row never changes. A measured event over an estimated row makes a second one of the differences; an estimate
//     never corrects anything; every other event under a known key is a conflict and changes no sum.
import { type CrashPoints, noCrash } from '../core/crash-point.ts';
import { rowsOf, type SqlSession, type SqlStore } from '../store/sql.ts';
import { inChunks } from './chunks.ts';
import { insertNew } from './insert-usage.ts';
import { type FoldResult, settleKnown } from './usage-correction.ts';
import { addSpend } from './spend.ts';
import type { FoldedUsage } from './usage-row.ts';

export interface Fold {
  readonly results: Readonly<Record<FoldResult, number>>;
  /** Rows that are new, adjustments included. */
  readonly added: readonly FoldedUsage[];
}

/** All of a batch or nothing of it; throws as the store does. */
export function foldUsage(
  store: SqlStore,
  usages: readonly FoldedUsage[],
  epochMs: number,
  crash: CrashPoints = noCrash,
): Promise<Fold> {
  const results = { folded: 0, repeated: 0, adjusted: 0, superseded: 0, conflict: 0 };
  const { firsts, later } = firstsOf(usages, results);
  return store.transaction(async (session) => {
    const own = { ...results };
    const fresh = await insertNew(session, firsts);
    own.folded = fresh.length;
    const isFresh = new Set(fresh);
    const known = [...firsts.filter((usage) => !isFresh.has(usage)), ...later];
    const corrections: FoldedUsage[] = [];
    for (const usage of known) {
      // eslint-disable-next-line no-await-in-loop -- one after the other, as they came
      const { result, correction } = await settleKnown(session, usage, epochMs);
      own[result]++;
      if (correction !== undefined) corrections.push(correction);
    }
    const added = corrections.length === 0 ? fresh : [...fresh, ...corrections];
    await addTags(session, added);
    await addSpend(session, added);
    crash(11);
    return { results: own, added };
  });
}

/** The first event of each key, in the order of the keys so that two ledgers never wait for each other in a circle, and others under their keys. */
function firstsOf(
  usages: readonly FoldedUsage[],
  results: { repeated: number },
): { firsts: readonly FoldedUsage[]; later: readonly FoldedUsage[] } {
  const byKey = new Map<string, FoldedUsage>();
  const digests = new Set<string>();
  const later: FoldedUsage[] = [];
  for (const usage of usages) {
    const { usage_id: key, digest } = usage.row;
    const known = byKey.get(key);
    if (known === undefined) byKey.set(key, usage);
    else if (known.row.digest === digest || digests.has(`${key}\n${digest}`)) results.repeated++;
    else later.push(usage);
    digests.add(`${key}\n${digest}`);
  }
  const firsts = [...byKey.values()].toSorted((a, b) => (a.row.usage_id < b.row.usage_id ? -1 : 1));
  return { firsts, later };
}

const addTags = (session: SqlSession, added: readonly FoldedUsage[]): Promise<void> =>
  inChunks(
    added.flatMap(({ row, tags }) => tags.map((tag) => [row.usage_id, tag] as const)),
    async (chunk) => {
      await session.run(
        `INSERT INTO usage_tags (usage_id, tag) VALUES ${rowsOf(chunk.length, 2)} ON CONFLICT (usage_id, tag) DO NOTHING`,
        chunk.flat(),
      );
    },
  );
