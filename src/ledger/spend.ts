// Sums of billable usage by tenant, scope, unit and hour: what budgets are settled from. Every calendar window is a sum of hours.
import { rowsOf, type SqlSession, type SqlStore, type SqlValue } from '../store/sql.ts';
import { byLength, inChunks } from './chunks.ts';
import type { FoldedUsage, UsageRow } from './usage-row.ts';

const HOUR_MS = 3_600_000;

/** Sums of one scope in one hour, by unit. */
interface ScopeSum {
  readonly tenantId: string;
  readonly scope: string;
  readonly windowStart: number;
  micro_usd: number;
  tokens: number;
  requests: number;
}

/** In the order of the table's key. */
const UNITS = ['micro_usd', 'requests', 'tokens'] as const;

/** What a key or a user spent through one policy; no id holds a space, so it is no other scope. */
export const scopeWithin = (policyId: string, scope: string): string => `policy:${policyId} ${scope}`;

/** `tenant`, or a kind and an id, for example `key:key_1`. */
function scopesOf({ row, tags }: FoldedUsage): readonly string[] {
  const { key_id: keyId, user_id: userId, policy_id: policyId } = row;
  const who: string[] = [];
  if (keyId !== null) who.push(`key:${keyId}`);
  if (userId !== null) who.push(`user:${userId}`);
  const scopes = ['tenant', `provider:${row.provider_id}`, ...who];
  if (policyId !== null) scopes.push(`policy:${policyId}`, ...who.map((scope) => scopeWithin(policyId, scope)));
  for (const tag of tags) scopes.push(`tag:${tag}`);
  return scopes;
}

/** Adds rows that are new. In the order of the keys, so that two ledgers never wait for each other in a circle. */
export async function addSpend(session: SqlSession, usages: readonly FoldedUsage[]): Promise<void> {
  const sums = new Map<string, ScopeSum>();
  for (const usage of usages) if (usage.row.billable === 1) count(sums, usage);
  const rows: (readonly SqlValue[])[] = [];
  for (const key of [...sums.keys()].toSorted()) {
    const sum = sums.get(key);
    if (sum === undefined) continue;
    for (const unit of UNITS) {
      if (sum[unit] !== 0) rows.push([sum.tenantId, sum.scope, unit, sum.windowStart, sum[unit]]);
    }
  }
  await inChunks(rows, async (chunk) => {
    await session.run(upsertOf(chunk.length), chunk.flat());
  });
}

function count(sums: Map<string, ScopeSum>, usage: FoldedUsage): void {
  const { row } = usage;
  const { tenant_id: tenantId } = row;
  const windowStart = row.occurred_at - (row.occurred_at % HOUR_MS);
  const tokens = row.input_tokens + row.output_tokens;
  const requests = requestsOf(row);
  for (const scope of scopesOf(usage)) {
    // Only the scope may hold a line break, so no two sums have one key.
    const key = `${tenantId}\n${scope}\n${windowStart}`;
    let sum = sums.get(key);
    if (sum === undefined)
      sums.set(key, (sum = { tenantId, scope, windowStart, micro_usd: 0, tokens: 0, requests: 0 }));
    sum.micro_usd += row.cost_micro_usd;
    sum.tokens += tokens;
    sum.requests += requests;
  }
}

/** A correction is no further request. */
const requestsOf = ({ adjusts }: UsageRow): number => (adjusts === null ? 1 : 0);

/** Hours of one transaction, so that folding goes on between. */
const SUMMED_MAX = 1_000;

/** Sums of one scope without a moment: those of all hours that no window reaches any more, but the one without an end. */
const LONG_AGO = 0;

/** Puts the hours that began before a moment together, so that the table follows the scopes and not the time. */
export async function sumOldSpend(store: SqlStore, beforeMs: number): Promise<void> {
  for (let count = SUMMED_MAX; count === SUMMED_MAX;) {
    // eslint-disable-next-line no-await-in-loop -- one transaction after the other
    count = await store.exclusive('spend', async (session) => {
      const hours = await session.all<SpendRow>(TAKEN, [LONG_AGO, beforeMs, SUMMED_MAX]);
      const sums = new Map<string, SpendRow>();
      for (const { tenant_id, scope, unit, amount } of hours) {
        const key = `${tenant_id}\n${scope}\n${unit}`;
        sums.set(key, { tenant_id, scope, unit, amount: Number(amount) + Number(sums.get(key)?.amount ?? 0) });
      }
      const rows = [...sums.values()].map((sum) => [sum.tenant_id, sum.scope, sum.unit, LONG_AGO, sum.amount]);
      await inChunks(rows, async (chunk) => {
        await session.run(upsertOf(chunk.length), chunk.flat());
      });
      return hours.length;
    });
  }
}

interface SpendRow {
  readonly tenant_id: string;
  readonly scope: string;
  readonly unit: string;
  readonly amount: number | bigint;
}

/** What is read is what is deleted, whatever another ledger adds meanwhile. */
const TAKEN = `DELETE FROM spend WHERE (tenant_id, scope, unit, window_start) IN (
  SELECT tenant_id, scope, unit, window_start FROM spend WHERE window_start > ? AND window_start < ?
  ORDER BY tenant_id, scope, unit, window_start LIMIT ?) RETURNING tenant_id, scope, unit, amount`;

const upsertOf = byLength(
  (rows) =>
    `INSERT INTO spend (tenant_id, scope, unit, window_start, amount) VALUES ${rowsOf(rows, 5)}
     ON CONFLICT (tenant_id, scope, unit, window_start) DO UPDATE SET amount = spend.amount + excluded.amount`,
);
