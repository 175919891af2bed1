// What rows cost by provider and model, whosever they are. It is not the report of a tenant's usage: that one is a tenant's,
// and is one answer whatever its size; this one comes in pages that fit a message.
import type { LedgerParams, LedgerResults, ProviderCost } from '../contracts/ledger-operations.ts';
import type { SqlStore } from '../store/sql.ts';
import { assertPeriod } from './usage-report.ts';

/** Names of the greatest length, each character of which is escaped, still fit into a message. */
const PAGE = 300;

// Every row counts, billable or not: nobody is billed for a shadow copy here, and the provider bills it all the same.
// What cost nothing differs from no bill in nothing.
const SELECT = `SELECT u.provider_id AS provider, COALESCE(u.model, '') AS model, CAST(SUM(u.cost_micro_usd) AS BIGINT) AS cost_micro_usd
  FROM usage_events u WHERE u.occurred_at >= ? AND u.occurred_at < ?
  AND (u.provider_id > ? OR (u.provider_id = ? AND COALESCE(u.model, '') > ?))
  GROUP BY 1, 2 HAVING SUM(u.cost_micro_usd) <> 0 ORDER BY 1, 2 LIMIT ${PAGE + 1}`;
/** Before every model of a provider. */
const FIRST = { provider: '', model: '' };

export async function providerCosts(
  store: SqlStore,
  { since, until, after = FIRST }: LedgerParams['costs'],
): Promise<LedgerResults['costs']> {
  assertPeriod(since, until);
  const params = [since, until, after.provider, after.provider, after.model];
  const rows = await store.all<ProviderCost>(SELECT, params);
  const costs = rows.slice(0, PAGE);
  const last = costs.at(-1);
  if (rows.length <= PAGE || last === undefined) return { costs };
  return { costs, next: { provider: last.provider, model: last.model } };
}
