// What each question to the ledger takes and gives. Moments are Unix milliseconds; money is whole micro-USD.
import { type Static, Type } from 'typebox';
import { type Payload, payload } from './contract.ts';
import { Count, Id, Key, maybe, ModelName, OpenObject } from './fields.ts';
import type { LedgerOperation } from './ledger.ts';

export const USAGE_GROUPS = ['provider', 'model', 'policy', 'key', 'user', 'status', 'tag'] as const;
export type UsageGroup = (typeof USAGE_GROUPS)[number];
export const USAGE_INTERVALS = ['hour', 'day', 'month'] as const;
export const USAGE_PAGE_MAX = 200;

const Period = { since: Count, until: Count };

const PARAMS = {
  usage: Type.Object({
    ...Period,
    interval: maybe(Type.Enum([...USAGE_INTERVALS])),
    group_by: maybe(Type.Array(Type.Enum([...USAGE_GROUPS]), { maxItems: 3, uniqueItems: true })),
  }),
  usage_events: Type.Object({
    ...Period,
    limit: maybe(Type.Integer({ minimum: 1, maximum: USAGE_PAGE_MAX })),
    cursor: maybe(Type.String({ minLength: 1, maxLength: 1024 })),
    provider: maybe(Id),
    model: maybe(ModelName),
    policy: maybe(Id),
    key: maybe(Id),
    user: maybe(Key),
    status: maybe(Type.Enum(['success', 'error', 'timeout', 'cancelled'])),
    request_id: maybe(Id),
    run_id: maybe(Id),
  }),
  usage_run: Type.Object({ run_id: Id }),
  prices: Type.Object({}),
  // `expected_revision` 0: there must be none yet.
  put_prices: Type.Object({ document: OpenObject, expected_revision: Count }),
  reconcile: Type.Object({ ...Period }),
  // `after`: where the page before ended.
  costs: Type.Object({
    ...Period,
    after: maybe(Type.Object({ provider: Id, model: Type.String({ maxLength: 512 }) })),
  }),
} as const;

export type LedgerParams = { readonly [Op in LedgerOperation]: Static<(typeof PARAMS)[Op]> };

export const LEDGER_PARAMS = Object.fromEntries(
  Object.entries(PARAMS).map(([op, schema]) => [op, payload(`beamline.ledger.LedgerParams.${op}`, '2', schema)]),
) as { readonly [Op in LedgerOperation]: Payload<LedgerParams[Op]> };

/** Sums of usage rows, corrections included. */
export interface UsageTotals {
  readonly attempts: number;
  readonly input_tokens: number;
  readonly cached_input_tokens: number;
  readonly cache_write_tokens: number;
  readonly output_tokens: number;
  readonly reasoning_tokens: number;
  readonly cost_micro_usd: number;
  /** Attempts whose tokens were counted here, not by the provider, and are not corrected yet. */
  readonly estimated_attempts: number;
  readonly unpriced_attempts: number;
}

export interface UsageData extends UsageTotals {
  readonly group: Readonly<Partial<Record<UsageGroup, string | null>>>;
  /** Beginning of the interval. */
  readonly start?: number;
}

export interface UsageRecord {
  readonly usage_id: string;
  readonly occurred_at: number;
  readonly request_id: string | null;
  readonly assignment_id: string;
  readonly attempt: number;
  readonly run_id: string | null;
  readonly step_id: string | null;
  readonly event_type: string;
  readonly provider: string;
  readonly model: string | null;
  readonly policy: string | null;
  readonly policy_revision: number | null;
  readonly key: string | null;
  readonly user: string | null;
  readonly status: string;
  readonly input_tokens: number;
  readonly cached_input_tokens: number;
  readonly cache_write_tokens: number;
  readonly output_tokens: number;
  readonly reasoning_tokens: number | null;
  readonly cost_micro_usd: number;
  readonly price_version: string | null;
  readonly estimated: boolean;
  readonly unpriced: boolean;
  readonly billable: boolean;
  readonly adjusts: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface PriceRecord {
  readonly provider: string;
  readonly model: string;
  readonly effective_from: number;
  readonly version: string;
  readonly input: number;
  readonly output: number;
  readonly cached_input?: number;
  readonly cache_write?: number;
  readonly request?: number;
  readonly cpu_ms?: number;
  readonly gib_out?: number;
}

interface ActivePrices {
  readonly version: string;
  readonly revision: number;
  readonly currency: 'USD';
  readonly lines: readonly PriceRecord[];
}

/** What was compared, and what does not agree; the first four must be 0. */
export interface Reconciliation {
  readonly rows: number;
  /** Attempts that were metered by jobs or by the truth beside the ledger. */
  readonly attempts: number;
  readonly lost: number;
  readonly doubled: number;
  readonly phantom: number;
  readonly unsettled: number;
  readonly cost_mismatch: number;
  readonly unpriced: number;
  readonly estimated: number;
  /** Of the attempts, 0 to 1. */
  readonly estimated_share: number;
  /** The first of each kind, for people. */
  readonly examples: Readonly<Record<string, readonly string[]>>;
}

/** What rows of all tenants cost, billable or not, corrections included. */
export interface ProviderCost {
  readonly provider: string;
  /** Empty: what was used without a model. */
  readonly model: string;
  readonly cost_micro_usd: number;
}

export interface LedgerResults {
  readonly usage: {
    readonly period: { readonly since: number; readonly until: number };
    readonly currency: 'USD';
    readonly price_version: string;
    readonly totals: UsageTotals;
    readonly data: readonly UsageData[];
  };
  readonly usage_events: { readonly events: readonly UsageRecord[]; readonly next_cursor?: string };
  readonly usage_run: UsageTotals & {
    readonly run_id: string;
    /** More may come. */
    readonly partial: boolean;
    readonly first_at: number;
    readonly last_at: number;
    readonly steps: readonly (UsageTotals & { readonly step_id: string | null })[];
  };
  readonly prices: ActivePrices;
  readonly put_prices: { readonly version: string; readonly revision: number };
  readonly reconcile: Reconciliation;
  readonly costs: {
    readonly costs: readonly ProviderCost[];
    /** There are more after this. */
    readonly next?: Pick<ProviderCost, 'provider' | 'model'>;
  };
}
