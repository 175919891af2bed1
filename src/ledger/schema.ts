// The ledger's tables (worker 14.4). A migration that was released never changes: a new one follows it.
import type { Migration } from '../store/migrations.ts';

/** Columns of a usage row in the order in which rows are written. */
export const USAGE_COLUMNS = [
  'usage_id',
  'tenant_id',
  'assignment_id',
  'attempt',
  'request_id',
  'run_id',
  'step_id',
  'event_type',
  'provider_id',
  'model',
  'key_id',
  'user_id',
  'policy_id',
  'policy_revision',
  'status',
  'input_tokens',
  'cached_input_tokens',
  'cache_write_tokens',
  'output_tokens',
  'reasoning_tokens',
  'cost_micro_usd',
  'reported_micro_usd',
  'expected_cost_micro_usd',
  'price_version',
  'estimated',
  'unpriced',
  'billable',
  'adjusts',
  'occurred_at',
  'folded_at',
  'digest',
  'detail',
] as const;

const USAGE: Migration = {
  id: 1,
  up: [
    `CREATE TABLE usage_events (usage_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, assignment_id TEXT NOT NULL, attempt INTEGER NOT NULL,
      request_id TEXT, run_id TEXT, step_id TEXT, event_type TEXT NOT NULL, provider_id TEXT NOT NULL, model TEXT, key_id TEXT, user_id TEXT,
      policy_id TEXT, policy_revision BIGINT, status TEXT NOT NULL, input_tokens BIGINT NOT NULL DEFAULT 0,
      cached_input_tokens BIGINT NOT NULL DEFAULT 0, cache_write_tokens BIGINT NOT NULL DEFAULT 0, output_tokens BIGINT NOT NULL DEFAULT 0,
      reasoning_tokens BIGINT, cost_micro_usd BIGINT NOT NULL, reported_micro_usd BIGINT, expected_cost_micro_usd BIGINT, price_version TEXT,
      estimated INTEGER NOT NULL DEFAULT 0, unpriced INTEGER NOT NULL DEFAULT 0, billable INTEGER NOT NULL DEFAULT 1, adjusts TEXT,
      occurred_at BIGINT NOT NULL, folded_at BIGINT NOT NULL, digest TEXT NOT NULL, detail TEXT NOT NULL)`,
    'CREATE INDEX usage_by_tenant ON usage_events (tenant_id, occurred_at)',
    'CREATE INDEX usage_by_run ON usage_events (tenant_id, run_id)',
    'CREATE INDEX usage_by_request ON usage_events (tenant_id, request_id)',
    'CREATE TABLE usage_tags (usage_id TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (usage_id, tag))',
    `CREATE TABLE usage_conflicts (usage_id TEXT NOT NULL, digest TEXT NOT NULL, seen_at BIGINT NOT NULL, payload TEXT NOT NULL,
      PRIMARY KEY (usage_id, digest))`,
    `CREATE TABLE spend (tenant_id TEXT NOT NULL, scope TEXT NOT NULL, unit TEXT NOT NULL, window_start BIGINT NOT NULL, amount BIGINT NOT NULL,
      PRIMARY KEY (tenant_id, scope, unit, window_start))`,
    `CREATE TABLE budgets (budget_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, scope TEXT NOT NULL, unit TEXT NOT NULL, amount BIGINT NOT NULL,
      period TEXT NOT NULL, action TEXT NOT NULL, warn_at REAL NOT NULL, revision BIGINT NOT NULL)`,
    `CREATE TABLE prices (version TEXT NOT NULL, provider_id TEXT NOT NULL, model TEXT NOT NULL, effective_from BIGINT NOT NULL,
      line TEXT NOT NULL, PRIMARY KEY (version, provider_id, model, effective_from))`,
  ],
  down: [
    'DROP TABLE prices',
    'DROP TABLE budgets',
    'DROP TABLE spend',
    'DROP TABLE usage_conflicts',
    'DROP TABLE usage_tags',
    'DROP TABLE usage_events',
  ],
};

/** Retention looks for what is old, whosever it is. */
const BY_AGE: Migration = {
  id: 2,
  up: ['CREATE INDEX usage_by_age ON usage_events (occurred_at)'],
  down: ['DROP INDEX usage_by_age'],
};

export const LEDGER_MIGRATIONS: readonly Migration[] = [USAGE, BY_AGE];
