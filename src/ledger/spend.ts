// Sums of billable usage by tenant, scope, unit and hour: what budgets are settled from. Every calendar window is a sum of hours.
import { rowsOf, type SqlSession, type SqlValue } from '../store/sql.ts';
import { inChunks } from './chunks.ts';
import type { FoldedUsage, UsageRow } from './usage-row.ts';

const HOUR_MS = 3_600_000;

export type SpendUnit = 'micro_usd' | 'tokens' | 'requests';

interface SpendRow {
  readonly tenantId: string;
  readonly scope: string;
  readonly unit: SpendUnit;
  readonly windowStart: number;
  amount: number;
}

/** `tenant`, or a kind and an id, for example `key:key_1`. */
function scopesOf({ row, tags }: FoldedUsage): readonly string[] {
  const scopes = ['tenant', `provider:${row.provider_id}`];
  if (row.key_id !== null) scopes.push(`key:${row.key_id}`);
  if (row.policy_id !== null) scopes.push(`policy:${row.policy_id}`);
  if (row.user_id !== null) scopes.push(`user:${row.user_id}`);
  for (const tag of tags) scopes.push(`tag:${tag}`);
  return scopes;
}

const amountsOf = (row: UsageRow): readonly (readonly [SpendUnit, number])[] => [
  ['micro_usd', row.cost_micro_usd],
  ['tokens', row.input_tokens + row.output_tokens],
  // A correction is no further request.
  ['requests', row.adjusts === null ? 1 : 0],
];

/** Adds rows that are new. In the order of the keys, so that two ledgers never wait for each other in a circle. */
export async function addSpend(session: SqlSession, usages: readonly FoldedUsage[]): Promise<void> {
  const sums = new Map<string, SpendRow>();
  for (const usage of usages) if (usage.row.billable === 1) count(sums, usage);
  const keys = [...sums.keys()].toSorted();
  await inChunks(
    keys.flatMap((key) => sums.get(key) ?? []).filter(({ amount }) => amount !== 0),
    async (chunk) => {
      const params = chunk.flatMap((sum): SqlValue[] => [
        sum.tenantId,
        sum.scope,
        sum.unit,
        sum.windowStart,
        sum.amount,
      ]);
      await session.run(upsertOf(chunk.length), params);
    },
  );
}

function count(sums: Map<string, SpendRow>, usage: FoldedUsage): void {
  const { row } = usage;
  const windowStart = row.occurred_at - (row.occurred_at % HOUR_MS);
  const amounts = amountsOf(row);
  for (const scope of scopesOf(usage)) {
    for (const [unit, amount] of amounts) {
      const key = `${row.tenant_id}\n${scope}\n${unit}\n${windowStart}`;
      const known = sums.get(key);
      if (known === undefined) sums.set(key, { tenantId: row.tenant_id, scope, unit, windowStart, amount });
      else known.amount += amount;
    }
  }
}

const upsertOf = (rows: number): string =>
  `INSERT INTO spend (tenant_id, scope, unit, window_start, amount) VALUES ${rowsOf(rows, 5)}
   ON CONFLICT (tenant_id, scope, unit, window_start) DO UPDATE SET amount = spend.amount + excluded.amount`;
