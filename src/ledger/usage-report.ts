// Sums of usage by columns of a closed table, over a period and, if asked, by intervals of it. No word of a caller enters a
// statement: what may be grouped by is chosen here, and values are parameters.
import type {
  LedgerParams,
  LedgerResults,
  UsageData,
  UsageGroup,
  UsageTotals,
} from '../contracts/ledger-operations.ts';
import { BeamlineError } from '../core/errors.ts';
import type { SqlRow, SqlStore } from '../store/sql.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** 400 days and a bit: as long as rows are kept. */
const PERIOD_MAX_MS = 460 * DAY_MS;
const ROWS_MAX = 10_000;

const COLUMNS: Readonly<Record<UsageGroup, string>> = {
  provider: 'u.provider_id',
  model: 'u.model',
  policy: 'u.policy_id',
  key: 'u.key_id',
  user: 'u.user_id',
  status: 'u.status',
  tag: 't.tag',
};

const sum = (expression: string, name: string): string => `CAST(COALESCE(SUM(${expression}), 0) AS BIGINT) AS ${name}`;

/** An estimate that was corrected has a second row, which takes it out of the count again. */
export const TOTALS = [
  sum('CASE WHEN u.adjusts IS NULL THEN 1 ELSE 0 END', 'attempts'),
  ...[
    'input_tokens',
    'cached_input_tokens',
    'cache_write_tokens',
    'output_tokens',
    'reasoning_tokens',
    'cost_micro_usd',
  ].map((name) => sum(`u.${name}`, name)),
  sum(`u.estimated - CASE WHEN u.detail LIKE '%"corrects":"estimate"}' THEN 1 ELSE 0 END`, 'estimated_attempts'),
  sum('CASE WHEN u.adjusts IS NULL THEN u.unpriced ELSE 0 END', 'unpriced_attempts'),
].join(', ');

type Totals = { -readonly [Name in keyof UsageTotals]: UsageTotals[Name] };

export async function usageReport(
  store: SqlStore,
  tenantId: string,
  { since, until, interval, group_by: groups = [] }: LedgerParams['usage'],
): Promise<Pick<LedgerResults['usage'], 'totals' | 'data'>> {
  assertPeriod(since, until);
  const where = 'u.tenant_id = ? AND u.occurred_at >= ? AND u.occurred_at < ?';
  const params = [tenantId, since, until];
  const [all] = await store.all<Totals>(`SELECT ${TOTALS} FROM usage_events u WHERE ${where}`, params);
  if (all === undefined) throw new BeamlineError('internal', 'a sum has one row');
  if (groups.length === 0 && interval === undefined) return { totals: { ...all }, data: [] };
  const columns = groups.map((group, index) => `${COLUMNS[group]} AS g${index}`);
  if (interval !== undefined) {
    const stepMs = interval === 'hour' ? HOUR_MS : DAY_MS;
    columns.push(`u.occurred_at - (u.occurred_at % ${stepMs}) AS start_ms`);
  }
  const places = columns.map((_, index) => String(index + 1)).join(', ');
  const tags = groups.includes('tag') ? 'LEFT JOIN usage_tags t ON t.usage_id = u.usage_id' : '';
  const rows = await store.all(
    `SELECT ${columns.join(', ')}, ${TOTALS} FROM usage_events u ${tags} WHERE ${where}
     GROUP BY ${places} ORDER BY ${places} LIMIT ${ROWS_MAX + 1}`,
    params,
  );
  if (rows.length > ROWS_MAX)
    throw invalid('group_by', `gives more than ${ROWS_MAX} rows: narrow the period or group by less`);
  const data = rows.map((row) => dataOf(row, groups, interval));
  return { totals: { ...all }, data: interval === 'month' ? byMonth(data) : data };
}

export function assertPeriod(since: number, until: number): void {
  if (until <= since) throw invalid('until', 'must be after since');
  if (until - since > PERIOD_MAX_MS)
    throw invalid('since', `must be at most ${PERIOD_MAX_MS / DAY_MS} days before until`);
}

const invalid = (path: string, message: string): BeamlineError =>
  new BeamlineError('invalid_request', `${path} ${message}`, {
    details: { reason: 'schema', fields: [{ path, code: 'invalid', message }] },
  });

function dataOf(row: SqlRow, groups: readonly UsageGroup[], interval: string | undefined): UsageData {
  const group = Object.fromEntries(groups.map((name, index) => [name, row[`g${index}`] as string | null]));
  const totals = Object.fromEntries(Object.entries(row).filter(([name]) => !/^(g\d|start_ms)$/.test(name)));
  // The statement names the columns of the totals.
  const data = { group, ...(totals as unknown as UsageTotals) };
  return interval === undefined ? data : { ...data, start: Number(row['start_ms']) };
}

/** Days of one calendar month (UTC) together; a database knows no months that both have. */
function byMonth(days: readonly UsageData[]): readonly UsageData[] {
  const months = new Map<string, Totals & { group: UsageData['group']; start: number }>();
  for (const { start = 0, group, ...totals } of days) {
    const day = new Date(start);
    const month = Date.UTC(day.getUTCFullYear(), day.getUTCMonth());
    const key = JSON.stringify([group, month]);
    const known = months.get(key);
    if (known === undefined) months.set(key, { ...totals, group, start: month });
    else for (const name of Object.keys(totals) as (keyof UsageTotals)[]) known[name] += totals[name];
  }
  return [...months.values()];
}
