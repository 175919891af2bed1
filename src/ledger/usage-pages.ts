// Usage rows one by one: pages of them, and the account of one run.
import type { LedgerParams, LedgerResults, UsageRecord, UsageTotals } from '../contracts/ledger-operations.ts';
import { BeamlineError } from '../core/errors.ts';
import type { SqlStore, SqlValue } from '../store/sql.ts';
import { assertPeriod, TOTALS } from './usage-report.ts';
import type { UsageRow } from './usage-row.ts';

const PAGE = 50;
/** A run whose newest row is younger may get another (operations, SLO-5). */
const SETTLED_MS = 300_000;
const STEPS_MAX = 1_000;

const FILTERS = {
  provider: 'provider_id',
  model: 'model',
  policy: 'policy_id',
  key: 'key_id',
  user: 'user_id',
  status: 'status',
  request_id: 'request_id',
  run_id: 'run_id',
} as const;

/** The newest first. Throws `invalid_request` for a cursor that no page gave. */
export async function usagePage(
  store: SqlStore,
  tenantId: string,
  params: LedgerParams['usage_events'],
): Promise<LedgerResults['usage_events']> {
  const { since, until, limit = PAGE, cursor } = params;
  assertPeriod(since, until);
  const where = ['tenant_id = ?', 'occurred_at >= ?', 'occurred_at < ?'];
  const values: SqlValue[] = [tenantId, since, until];
  for (const [name, column] of Object.entries(FILTERS)) {
    const value = params[name as keyof typeof FILTERS];
    if (value === undefined) continue;
    where.push(`${column} = ?`);
    values.push(value);
  }
  if (cursor !== undefined) {
    const [atMs, id] = placeOf(cursor);
    where.push('(occurred_at < ? OR (occurred_at = ? AND usage_id < ?))');
    values.push(atMs, atMs, id);
  }
  const rows = await store.all<UsageRow>(
    `SELECT * FROM usage_events WHERE ${where.join(' AND ')} ORDER BY occurred_at DESC, usage_id DESC LIMIT ?`,
    [...values, limit + 1],
  );
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const events = page.map(recordOf);
  return rows.length > limit && last !== undefined ? { events, next_cursor: cursorOf(last) } : { events };
}

/** Throws `not_found` for a run without rows. */
export async function usageRun(
  store: SqlStore,
  tenantId: string,
  runId: string,
  epochMs: number,
): Promise<LedgerResults['usage_run']> {
  const where = 'u.tenant_id = ? AND u.run_id = ?';
  const moments = 'MIN(u.occurred_at) AS first_at, MAX(u.occurred_at) AS last_at, MAX(u.folded_at) AS folded_at';
  const [totals, steps] = await Promise.all([
    store.all<UsageTotals & { first_at: number | null; last_at: number; folded_at: number }>(
      `SELECT ${TOTALS}, ${moments} FROM usage_events u WHERE ${where}`,
      [tenantId, runId],
    ),
    store.all<UsageTotals & { step_id: string | null }>(
      `SELECT u.step_id, ${TOTALS} FROM usage_events u WHERE ${where} GROUP BY u.step_id ORDER BY u.step_id LIMIT ${STEPS_MAX}`,
      [tenantId, runId],
    ),
  ]);
  const [all] = totals;
  if (all === undefined || all.first_at === null) throw new BeamlineError('not_found', 'no usage of this run is known');
  const { folded_at: foldedAt, first_at, ...account } = all;
  return { ...account, first_at, run_id: runId, partial: epochMs - foldedAt < SETTLED_MS, steps: [...steps] };
}

function recordOf(row: UsageRow): UsageRecord {
  const { provider_id, policy_id, key_id, user_id, estimated, unpriced, billable, detail, ...rest } = row;
  const { tenant_id: _tenant, folded_at: _folded, digest: _digest, reported_micro_usd: _reported, ...told } = rest;
  const { expected_cost_micro_usd: _expected, ...record } = told;
  return {
    ...record,
    provider: provider_id,
    policy: policy_id,
    key: key_id,
    user: user_id,
    estimated: estimated === 1,
    unpriced: unpriced === 1,
    billable: billable === 1,
    detail: JSON.parse(detail) as Readonly<Record<string, unknown>>,
  };
}

const cursorOf = ({ occurred_at, usage_id }: UsageRow): string =>
  Buffer.from(JSON.stringify([occurred_at, usage_id])).toString('base64url');

function placeOf(cursor: string): readonly [atMs: number, id: string] {
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (Array.isArray(place) && Number.isSafeInteger(place[0]) && typeof place[1] === 'string') {
      return [Number(place[0]), place[1]];
    }
  } catch {
    // Told below.
  }
  const message = 'must be one that a page gave';
  throw new BeamlineError('invalid_request', `cursor ${message}`, {
    details: { reason: 'schema', fields: [{ path: 'cursor', code: 'invalid', message }] },
  });
}
