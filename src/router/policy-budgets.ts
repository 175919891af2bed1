// Budgets of policies (policy 9.2): each revision brings its own, under ids that no budget of a gateway has.
import { type Budget, policyBudgetId } from '../contracts/budget.ts';
import type { LeasedBudget } from '../limit/leased-budget.ts';
import { Leases, type LeasesDeps } from '../limit/leases.ts';
import type { PolicyBudget } from '../policy/budget-document.ts';
import type { Facts } from '../policy/facts.ts';
import type { Policy } from '../policy/policy.ts';
import { targetsOf } from '../policy/recorded-snapshot.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { AttemptHolds } from './attempt-holds.ts';
import { type BudgetAccount, type HoldResult, RequestBudgets } from './request-budgets.ts';
import type { TenantBudgets } from './tenant-budgets.ts';

export interface PolicyBudgetsDeps extends LeasesDeps {
  /** What its attempts hold beside them. Absent: nothing. */
  readonly tenants?: Pick<TenantBudgets, 'of'> | undefined;
}

export class PolicyBudgets implements AsyncDisposable {
  readonly #deps: PolicyBudgetsDeps;
  readonly #leases: Leases;
  readonly #count: (result: HoldResult) => Counter;

  constructor(deps: PolicyBudgetsDeps) {
    this.#deps = deps;
    this.#leases = new Leases(deps);
    const results = deps.telemetry.metrics.counter({
      name: 'router_budget_reservations_total',
      help: 'Reservations in the budgets of policies by result; unpriced ones hold nothing.',
      labels: ['result'],
    });
    this.#count = (result) => results.of(result);
  }

  /** Of one request; undefined if no budget is about it. `withinMs` is when it is over at the latest. */
  of(policy: Policy, facts: Facts, withinMs: number): RequestBudgets | undefined {
    const attempts = this.#deps.tenants?.of(facts, withinMs);
    const accounts =
      policy.budgets.length === 0
        ? NO_ACCOUNTS
        : accountsOf(policy, facts, (budget, subject) => this.#leases.of(budget, subject));
    if (accounts.length === 0 && attempts === undefined) return undefined;
    return this.#requestOf(policy, withinMs, accounts, attempts);
  }

  /** What they say of a request that is only thought of, read anew and without a trace; undefined as above. */
  async lookedAt(policy: Policy, facts: Facts): Promise<RequestBudgets | undefined> {
    const accounts = accountsOf(policy, facts, (budget, subject) => this.#leases.apart(budget, subject));
    if (accounts.length === 0) return undefined;
    const request = this.#requestOf(policy, 0, accounts);
    await request.known();
    return request;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leases[Symbol.asyncDispose]();
  }

  #requestOf(
    policy: Policy,
    withinMs: number,
    accounts: readonly BudgetAccount[],
    attempts?: AttemptHolds,
  ): RequestBudgets {
    const { timers } = this.#deps;
    const holdUntilMs = timers.clock.epochMs() + withinMs;
    const providers = targetsOf(policy).map(({ name }) => name);
    return new RequestBudgets({ accounts, attempts, providers, holdUntilMs, timers, count: this.#count });
  }
}

const NO_ACCOUNTS: readonly BudgetAccount[] = Object.freeze([]);

const accountsOf = (
  policy: Policy,
  facts: Facts,
  leasedOf: (budget: Budget, subject: string) => LeasedBudget,
): readonly BudgetAccount[] => policy.budgets.flatMap((item) => accountOf(policy, item, facts, leasedOf));

function accountOf(
  { policyId }: Policy,
  item: PolicyBudget,
  facts: Facts,
  leasedOf: (budget: Budget, subject: string) => LeasedBudget,
): readonly BudgetAccount[] {
  const subject = SUBJECTS[item.scope](policyId, facts);
  if (subject === undefined) return [];
  const budget: Budget = {
    // A built-in policy is every tenant's, and each has its own budgets of it.
    id: policyBudgetId(policyId, item),
    tenant_id: facts.tenantId,
    scope: item.scope,
    subject,
    policy_id: policyId,
    unit: 'micro_usd',
    limit: item.limitMicroUsd,
    window: item.window,
    action: item.onExceed === 'warn' ? 'warn' : 'block',
    warn_at: item.warnAt,
  };
  return [{ item, budget, leased: leasedOf(budget, subject) }];
}

const SUBJECTS: Readonly<Record<PolicyBudget['scope'], (policyId: string, facts: Facts) => string | undefined>> = {
  policy: (policyId) => policyId,
  key: (_, { keyId }) => keyId,
  user: (_, { userId }) => userId,
};
