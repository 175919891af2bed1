// What becomes of an event whose key has a row already.
import type { SqlSession } from '../store/sql.ts';
import { insertNew } from './insert-usage.ts';
import type { FoldedUsage, UsageRow } from './usage-row.ts';

/** `superseded`: an estimate of what was known better. */
export type FoldResult = 'folded' | 'repeated' | 'adjusted' | 'superseded' | 'conflict';

/** Corrections of one row; more than one by us and a few from outside do not happen. */
const CORRECTIONS_MAX = 32;

interface Settled {
  readonly result: FoldResult;
  /** The row that was added. */
  readonly correction?: FoldedUsage;
}

const ROW = 'SELECT * FROM usage_events WHERE usage_id = ?';

/** Reads the row under the key and settles the event against it, in the transaction of the session. */
export async function settleKnown(session: SqlSession, usage: FoldedUsage, epochMs: number): Promise<Settled> {
  const [base] = await session.all<UsageRow>(ROW, [usage.row.usage_id]);
  if (base === undefined || base.digest === usage.row.digest) return { result: 'repeated' };
  if (usage.row.estimated === 1) return { result: 'superseded' };
  if (base.estimated === 1) return correct(session, base, usage);
  return conflict(session, usage, epochMs);

  async function correct(inside: SqlSession, estimated: UsageRow, measured: FoldedUsage): Promise<Settled> {
    for (let n = 1; n <= CORRECTIONS_MAX; n++) {
      const id = `${estimated.usage_id}:adj:${n}`;
      const correction = differenceOf(id, estimated, measured);
      // eslint-disable-next-line no-await-in-loop -- the next number counts only if this one is taken
      const fresh = await insertNew(inside, [correction]);
      if (fresh.length > 0) return { result: 'adjusted', correction };
      // eslint-disable-next-line no-await-in-loop -- as above
      const [taken] = await inside.all<UsageRow>(ROW, [id]);
      if (taken?.digest === measured.row.digest) return { result: 'repeated' };
      if (taken !== undefined && isOurs(taken)) break;
    }
    return conflict(inside, measured, epochMs);
  }
}

async function conflict(session: SqlSession, { row, event }: FoldedUsage, epochMs: number): Promise<Settled> {
  const added = await session.run(
    'INSERT INTO usage_conflicts (usage_id, digest, seen_at, payload) VALUES (?, ?, ?, ?) ON CONFLICT (usage_id, digest) DO NOTHING',
    [row.usage_id, row.digest, epochMs, JSON.stringify(event)],
  );
  return { result: added === 0 ? 'repeated' : 'conflict' };
}

const CORRECTS = 'estimate';
const isOurs = ({ detail }: UsageRow): boolean =>
  (JSON.parse(detail) as { readonly corrects?: unknown }).corrects === CORRECTS;

/** The measured amounts less the estimated ones, under the names and at the moment of the row that it corrects. */
function differenceOf(id: string, estimated: UsageRow, { row, event, tags }: FoldedUsage): FoldedUsage {
  const less = (name: 'input_tokens' | 'cached_input_tokens' | 'cache_write_tokens' | 'output_tokens') =>
    row[name] - estimated[name];
  const difference: UsageRow = {
    ...row,
    usage_id: id,
    adjusts: estimated.usage_id,
    provider_id: estimated.provider_id,
    model: estimated.model,
    key_id: estimated.key_id,
    user_id: estimated.user_id,
    policy_id: estimated.policy_id,
    policy_revision: estimated.policy_revision,
    billable: estimated.billable,
    occurred_at: estimated.occurred_at,
    input_tokens: less('input_tokens'),
    cached_input_tokens: less('cached_input_tokens'),
    cache_write_tokens: less('cache_write_tokens'),
    output_tokens: less('output_tokens'),
    reasoning_tokens: (row.reasoning_tokens ?? 0) - (estimated.reasoning_tokens ?? 0),
    cost_micro_usd: row.cost_micro_usd - estimated.cost_micro_usd,
    reported_micro_usd: (row.reported_micro_usd ?? 0) - (estimated.reported_micro_usd ?? 0),
    expected_cost_micro_usd: null,
    detail: JSON.stringify({ ...(JSON.parse(row.detail) as object), corrects: CORRECTS }),
  };
  return { row: difference, tags: tagsOf(estimated, tags), event };
}

/** Those of the row that is corrected, so that sums by tag stay whole. */
function tagsOf({ detail }: UsageRow, otherwise: readonly string[]): readonly string[] {
  const { tags } = JSON.parse(detail) as { readonly tags?: readonly string[] };
  return tags ?? (otherwise.length === 0 ? otherwise : []);
}
