// Budgets: what may be spent, and how much of it is spent or held by whom (gateway 7.2, worker 14.3).
// A quota is a budget whose unit is not money.
import { createHash } from 'node:crypto';
import { Type } from 'typebox';
import { type BucketSpec, keyOf, keyPattern } from './bucket.ts';
import { payload } from './contract.ts';
import { Count, Id, Key, maybe } from './fields.ts';
import { ID_BYTES_MAX } from './limits.ts';
import { decodeToken } from './subject.ts';

export const budgetBucket: BucketSpec = { name: 'budgets', bytesMax: 268_435_456 };
const DEFINITION = 'definition';

export const BUDGET_SCOPES = ['tenant', 'key', 'user', 'policy', 'provider', 'tag'] as const;
export type BudgetScope = (typeof BUDGET_SCOPES)[number];
export const BUDGET_UNITS = ['micro_usd', 'tokens', 'requests'] as const;
export type BudgetUnit = (typeof BUDGET_UNITS)[number];
export const BUDGET_WINDOWS = ['hour', 'day', 'month', 'total'] as const;
export type BudgetWindow = (typeof BUDGET_WINDOWS)[number];

const Budget = Type.Object({
  id: Id,
  tenant_id: Id,
  scope: Type.Enum([...BUDGET_SCOPES]),
  // Which key, user, policy, provider or tag; `*` gives each value of the scope a budget of its own. `-` for a tenant.
  subject: Key,
  // Counts what the subject spends through this policy only.
  policy_id: maybe(Id),
  unit: Type.Enum([...BUDGET_UNITS]),
  limit: Count,
  window: Type.Enum([...BUDGET_WINDOWS]),
  action: Type.Enum(['block', 'warn']),
  // Share of the limit, 0 to 1.
  warn_at: Type.Number({ minimum: 0, maximum: 1 }),
});
export type Budget = Type.Static<typeof Budget>;

const BudgetEntry = Type.Object({
  version: Type.Literal('2'),
  tenant_id: Id,
  budget_id: Id,
  // What of the usage it counts, so that the ledger can settle it from this entry alone.
  scope: Type.Enum([...BUDGET_SCOPES]),
  subject: Key,
  // Counts what the subject spends through this policy only.
  policy_id: maybe(Id),
  unit: Type.Enum([...BUDGET_UNITS]),
  // The calendar window, Unix epoch; without an end for `total`.
  from_ms: Count,
  until_ms: maybe(Count),
  limit: Count,
  // What the ledger has folded of this window.
  settled: Count,
  // Usage that happened before this moment is in `settled`, Unix epoch.
  watermark_ms: Count,
  // What processes may spend without asking, by process; in the budget's unit.
  leases: Type.Record(Type.String(), Type.Object({ amount: Count, hold_until_ms: Count })),
});
export type BudgetEntry = Type.Static<typeof BudgetEntry>;

export const budgetEntry = payload('beamline.ledger.BudgetEntry', '2', BudgetEntry);
export const budget = payload('beamline.ledger.Budget', '2', Budget);

/** What one entry is about; `subject` is who spends, so that `*` in a definition gives each an entry of its own. */
export type BudgetAccount = Omit<BudgetEntry, 'version' | 'limit' | 'settled' | 'watermark_ms' | 'leases'>;

export const budgetKey = (of: Pick<BudgetAccount, 'tenant_id' | 'budget_id' | 'subject' | 'from_ms'>): string =>
  keyOf(of.tenant_id, of.budget_id, tokenOf(of.subject), String(of.from_ms));

/** Of the entries, whatever the tenant. A definition has another number of tokens, so neither is taken for the other. */
export const budgetEntryKeys = keyPattern(undefined, undefined, undefined, undefined);
export const entryKeysOf = ({ tenant_id, id }: Pick<Budget, 'tenant_id' | 'id'>) =>
  keyPattern(tenant_id, id, undefined, undefined);

/** Where a budget stands that is made through the API; those of configuration and policies stand in no bucket. */
export const definitionKey = ({ tenant_id, id }: Pick<Budget, 'tenant_id' | 'id'>): string =>
  keyOf(tenant_id, DEFINITION, id);
export const definitionKeys = keyPattern(undefined, DEFINITION, undefined);
/** What a key of a definition is about; undefined for another key. */
export function definitionOf(key: string): Pick<Budget, 'tenant_id' | 'id'> | undefined {
  const [tenant, kind, id] = key.split('.').map(decodeToken);
  return tenant === undefined || kind !== DEFINITION || id === undefined ? undefined : { tenant_id: tenant, id };
}
export const definitionKeysOf = (tenantId: string) => keyPattern(tenantId, DEFINITION, undefined);

/**
 * The id of a policy's budget among those of its tenant, which have no slash. Scope and window are part of it, so that a
 * revision that changes them counts anew instead of in the entries of the one before.
 */
export function policyBudgetId(policyId: string, of: { id: string; scope: BudgetScope; window: BudgetWindow }): string {
  const id = `policy/${policyId}/${of.id}/${of.scope}-${of.window}`;
  return id.length <= ID_BYTES_MAX ? id : `policy/${digestOf(id)}`;
}

/** A user may be any text: what is no short id stands by its digest. */
const tokenOf = (value: string): string => (/^[\x21-\x7e]{1,64}$/.test(value) ? value : digestOf(value));

const digestOf = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;
