// Holds the ledger's rows against what others know of the same attempts: records of jobs, leases of budgets and, in tests, the
// provider's own log (worker 14.4).
import type { Reconciliation } from '../contracts/ledger-operations.ts';
import type { SqlStore } from '../store/sql.ts';
import { assertPeriod } from './usage-report.ts';

/** One attempt as somebody beside the ledger knows it. */
export interface KnownAttempt {
  readonly tenantId?: string;
  readonly assignmentId: string;
  readonly attempt: number;
  /** Something was consumed, so a row must be there. */
  readonly isMetered: boolean;
  readonly costMicroUsd?: number;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
}

export interface Period {
  readonly since: number;
  readonly until: number;
}

/** What is known beside the ledger. */
export interface Witness {
  readonly attempts: AsyncIterable<KnownAttempt> | Iterable<KnownAttempt>;
  /** The witness saw every attempt of these rows: one that it does not know is a phantom. */
  readonly isComplete: (row: RowSeen) => boolean;
}

export interface RowSeen {
  readonly provider: string;
  readonly assignmentId: string;
  readonly isEstimate: boolean;
}

export type Reconcile = (period: Period) => Promise<Reconciliation>;

interface Row {
  readonly tenant_id: string;
  readonly assignment_id: string;
  readonly attempt: number;
  readonly provider_id: string;
  readonly rows: number;
  readonly adjustments: number;
  readonly cost: number;
  readonly reported: number;
  readonly input: number;
  readonly output: number;
  readonly estimated: number;
  readonly unpriced: number;
}

interface Attempt extends Row {
  isKnown: boolean;
}

const PAGE = 2_000;
const EXAMPLES_MAX = 20;
/** An attempt has at most one row of its own. */
const ROWS = `SELECT tenant_id, assignment_id, attempt, MIN(provider_id) AS provider_id,
  CAST(SUM(CASE WHEN adjusts IS NULL THEN 1 ELSE 0 END) AS BIGINT) AS rows,
  CAST(SUM(CASE WHEN adjusts IS NULL THEN 0 ELSE 1 END) AS BIGINT) AS adjustments, CAST(SUM(cost_micro_usd) AS BIGINT) AS cost,
  CAST(SUM(COALESCE(reported_micro_usd, 0)) AS BIGINT) AS reported, CAST(SUM(input_tokens) AS BIGINT) AS input,
  CAST(SUM(output_tokens) AS BIGINT) AS output, CAST(SUM(estimated) AS BIGINT) - CAST(SUM(CASE WHEN detail LIKE '%"corrects":"estimate"}' THEN 1 ELSE 0 END) AS BIGINT) AS estimated,
  MAX(unpriced) AS unpriced FROM usage_events WHERE occurred_at >= ? AND occurred_at < ?
  AND (tenant_id > ? OR (tenant_id = ? AND (assignment_id > ? OR (assignment_id = ? AND attempt > ?))))
  GROUP BY tenant_id, assignment_id, attempt ORDER BY tenant_id, assignment_id, attempt LIMIT ${PAGE}`;

type Finding = 'lost' | 'doubled' | 'phantom' | 'unsettled' | 'cost_mismatch' | 'unpriced' | 'estimated';

class Findings {
  readonly counts: Record<Finding, number> = {
    lost: 0,
    doubled: 0,
    phantom: 0,
    unsettled: 0,
    cost_mismatch: 0,
    unpriced: 0,
    estimated: 0,
  };
  readonly examples: Partial<Record<Finding, string[]>> = {};

  add(finding: Finding, what: string, count = 1): void {
    this.counts[finding] += count;
    const examples = (this.examples[finding] ??= []);
    if (examples.length < EXAMPLES_MAX) examples.push(what);
  }
}

/** `unsettled`: leases of budgets past their hold, by name. Reads every attempt of the period into memory. */
export async function reconcile(
  store: SqlStore,
  period: Period,
  witnesses: readonly Witness[],
  unsettled: readonly string[] = [],
): Promise<Reconciliation> {
  assertPeriod(period.since, period.until);
  const findings = new Findings();
  const attempts = await attemptsOf(store, period);
  for (const row of attempts.values()) judge(row, findings);
  for (const id of await conflictsOf(store, period)) findings.add('doubled', id);
  for (const lease of unsettled) findings.add('unsettled', lease);
  let known = 0;
  for (const { attempts: seen, isComplete } of witnesses) {
    for (const row of attempts.values()) row.isKnown = false;
    // eslint-disable-next-line no-await-in-loop -- one witness after the other
    for await (const attempt of seen) {
      known++;
      compare(attempt, attempts.get(keyOf(attempt.assignmentId, attempt.attempt)), findings);
    }
    for (const [key, row] of attempts) {
      if (!row.isKnown && isComplete(rowSeen(row))) findings.add('phantom', key);
    }
  }
  return {
    rows: attempts.size,
    attempts: known,
    ...findings.counts,
    estimated_share: attempts.size === 0 ? 0 : findings.counts.estimated / attempts.size,
    examples: findings.examples,
  };
}

const rowSeen = (row: Row): RowSeen => ({
  provider: row.provider_id,
  assignmentId: row.assignment_id,
  isEstimate: row.estimated > 0,
});

const keyOf = (assignmentId: string, attempt: number): string => `${assignmentId}:${attempt}`;

async function attemptsOf(store: SqlStore, { since, until }: Period): Promise<Map<string, Attempt>> {
  const attempts = new Map<string, Attempt>();
  for (let [tenant, assignment, attempt] = ['', '', 0]; ;) {
    // eslint-disable-next-line no-await-in-loop -- page after page
    const page = await store.all<Row>(ROWS, [since, until, tenant, tenant, assignment, assignment, attempt]);
    for (const row of page) attempts.set(keyOf(row.assignment_id, row.attempt), { ...row, isKnown: false });
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return attempts;
    [tenant, assignment, attempt] = [last.tenant_id, last.assignment_id, last.attempt];
  }
}

async function conflictsOf(store: SqlStore, { since, until }: Period): Promise<readonly string[]> {
  const rows = await store.all<{ usage_id: string }>(
    `SELECT c.usage_id FROM usage_conflicts c JOIN usage_events u ON u.usage_id = c.usage_id
     WHERE u.occurred_at >= ? AND u.occurred_at < ? ORDER BY c.usage_id LIMIT 100000`,
    [since, until],
  );
  return rows.map(({ usage_id }) => usage_id);
}

/** What a row says by itself. */
function judge(row: Row, findings: Findings): void {
  const key = keyOf(row.assignment_id, row.attempt);
  if (row.rows > 1) findings.add('doubled', key, row.rows - 1);
  if (row.unpriced === 1) findings.add('unpriced', key);
  else if (row.cost !== row.reported) findings.add('cost_mismatch', `${key} ${row.reported} -> ${row.cost} micro-USD`);
  if (row.estimated > 0) findings.add('estimated', key);
}

/** What a row and an attempt that somebody else knows say of each other. */
function compare(known: KnownAttempt, row: Attempt | undefined, findings: Findings): void {
  const key = keyOf(known.assignmentId, known.attempt);
  if (row === undefined) {
    if (known.isMetered) findings.add('lost', key);
    return;
  }
  row.isKnown = true;
  if (!known.isMetered) return;
  const { inputTokens = row.input, outputTokens = row.output } = known;
  // A job is not told what adjusts its attempt later.
  const costMicroUsd = row.adjustments > 0 ? row.reported : (known.costMicroUsd ?? row.reported);
  if (row.estimated > 0) {
    // Whoever estimates knows the request, and of the answer at most what was produced.
    if (row.input >= inputTokens && row.output <= outputTokens) return;
  } else if (costMicroUsd === row.reported && inputTokens === row.input && outputTokens === row.output) return;
  findings.add(
    'cost_mismatch',
    `${key} differs from ${costMicroUsd} micro-USD, ${inputTokens} + ${outputTokens} tokens`,
  );
}
