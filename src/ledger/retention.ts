// Rows that are older than they must be kept are exported and then deleted; a ledger in memory keeps only its newest (worker 14.4).
// R1. Nothing is deleted that was not exported before, unless it stands in memory only and ends with the process anyway.
// R2. Sums stay: their old hours are put together, for budgets whose window has no end.
import type { Timer, Timers } from '../core/timers.ts';
import type { SqlStore } from '../store/sql.ts';
import type { Log } from '../telemetry/log.ts';
import { rowsOf } from '../store/sql.ts';
import { inChunks } from './chunks.ts';
import { sumOldSpend } from './spend.ts';

export type RetentionRule =
  | { readonly kind: 'newest'; readonly rowsMax: number }
  | {
      readonly kind: 'days';
      readonly days: number;
      /** Keeps rows that happened before the moment elsewhere; undefined where no export is configured, so nothing is deleted. */
      readonly exportBefore: ((untilMs: number) => Promise<void>) | undefined;
    };

interface RetentionDeps {
  readonly store: SqlStore;
  readonly timers: Timers;
  readonly log: Log;
  readonly rule: RetentionRule;
}

const DAY_MS = 86_400_000;
/** Hours of sums in memory: two months, more than the longest window of a budget that ends. */
const HOURS_KEPT_MS = 62 * DAY_MS;
const EVERY_MS: Readonly<Record<RetentionRule['kind'], number>> = { newest: 5_000, days: 3_600_000 };
/** Rows that one transaction deletes, so that folding goes on between. */
const DELETE_MAX = 1_000;

export function startRetention(deps: RetentionDeps): Disposable {
  const { timers, log, rule } = deps;
  let isClosed = false;
  let timer: Timer;
  const next = (): Timer =>
    timers.after(EVERY_MS[rule.kind], () => {
      void sweep(deps)
        .catch((fault: unknown) => log.warn('ledger_retention_failed', { fault }))
        .finally(() => {
          if (!isClosed) timer = next();
        });
    });
  timer = next();
  return {
    [Symbol.dispose]() {
      isClosed = true;
      timer.cancel();
    },
  };
}

/** One look; resolves with the number of rows that were deleted. */
export async function sweep({ store, timers, log, rule }: RetentionDeps): Promise<number> {
  if (rule.kind === 'newest') {
    const [count] = await store.all<{ rows: number }>('SELECT COUNT(*) AS rows FROM usage_events');
    await sumOldSpend(store, timers.clock.epochMs() - HOURS_KEPT_MS);
    return deleteOldest(store, Number.MAX_SAFE_INTEGER, (count?.rows ?? 0) - rule.rowsMax);
  }
  const untilMs = timers.clock.epochMs() - rule.days * DAY_MS;
  await sumOldSpend(store, untilMs);
  if (rule.exportBefore === undefined) return 0;
  const [old] = await store.all('SELECT usage_id FROM usage_events WHERE occurred_at < ? LIMIT 1', [untilMs]);
  if (old === undefined) return 0;
  await rule.exportBefore(untilMs);
  const deleted = await deleteOldest(store, untilMs, Number.POSITIVE_INFINITY);
  log.info('ledger_retention_done', { count: deleted });
  return deleted;
}

/** At most so many rows that happened before the moment, the oldest first. */
async function deleteOldest(store: SqlStore, untilMs: number, countMax: number): Promise<number> {
  let deleted = 0;
  while (deleted < countMax) {
    const limit = Math.min(DELETE_MAX, countMax - deleted);
    // eslint-disable-next-line no-await-in-loop -- one transaction after the other
    const count = await store.transaction(async (session) => {
      const rows = await session.all<{ usage_id: string }>(
        'SELECT usage_id FROM usage_events WHERE occurred_at < ? ORDER BY occurred_at LIMIT ?',
        [untilMs, limit],
      );
      const ids = rows.map(({ usage_id }) => usage_id);
      for (const table of ['usage_tags', 'usage_conflicts', 'usage_events']) {
        // eslint-disable-next-line no-await-in-loop -- on one connection
        await inChunks(ids, async (chunk) => {
          await session.run(`DELETE FROM ${table} WHERE usage_id IN ${rowsOf(1, chunk.length)}`, chunk);
        });
      }
      return ids.length;
    });
    deleted += count;
    if (count < limit) break;
  }
  return deleted;
}
