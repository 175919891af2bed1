// Money and quotas before a request runs: reserve, then settle once (gateway 7.2, 7.3; worker 14.3).
// M1. A request reserves in every budget that it falls under, or in none.
// M2. A reservation ends once: what was spent stays counted until the ledger has it, the rest is free at once.
// M3. A budget that cannot be asked refuses if it blocks (`unavailable`), and lets pass if it only warns.
import { type Budget, type BudgetAccount, budgetKey, type BudgetUnit } from '../contracts/budget.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { type BudgetBucket, LeasedBudget } from './leased-budget.ts';
import { windowEndMs, windowStartMs } from './window.ts';

const TEND_MS = 2_000;

/** Who spends. */
export interface Spender {
  readonly tenantId: string;
  readonly keyId: string;
  readonly userId: string | undefined;
  readonly policyId: string;
}

export type Amounts = Readonly<Record<BudgetUnit, number>>;

/** Holds what a request may spend at most. */
export interface Reservation {
  /** Once; further calls change nothing. `actual` is what all attempts took together. */
  settle(actual: Amounts): void;
}

export interface BudgetsDeps {
  readonly bucket: BudgetBucket;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  /** Of this process; leases stand under it. */
  readonly holder: string;
  readonly definitions: readonly Budget[];
}

interface Held {
  readonly budget: Budget;
  readonly leased: LeasedBudget;
  readonly amount: number;
}

const NOTHING: Reservation = { settle: () => undefined };

export class Budgets implements AsyncDisposable {
  readonly #deps: BudgetsDeps;
  /** By tenant. */
  readonly #definitions = new Map<string, Budget[]>();
  /** By key of the entry. */
  readonly #leased = new Map<string, { readonly budget: Budget; readonly leased: LeasedBudget }>();
  readonly #warned = new Set<string>();
  readonly #count: (result: 'reserved' | 'refused' | 'warned' | 'unavailable') => Counter;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(deps: BudgetsDeps) {
    this.#deps = deps;
    for (const budget of deps.definitions) {
      const ofTenant = this.#definitions.get(budget.tenant_id) ?? [];
      this.#definitions.set(budget.tenant_id, [...ofTenant, budget]);
    }
    const results = deps.telemetry.metrics.counter({
      name: 'budget_reservations_total',
      help: 'Reservations in budgets by result.',
      labels: ['result'],
    });
    this.#count = (result) => results.of(result);
  }

  /** Whether any budget may be about requests of the tenant. */
  covers(tenantId: string): boolean {
    return this.#definitions.has(tenantId);
  }

  /**
   * At once where leases suffice. `holdUntilMs` is the epoch moment at which the request has ended at the latest.
   * Throws `budget_exceeded` with the time to the next window, or `unavailable`.
   */
  reserve(spender: Spender, amounts: Amounts, holdUntilMs: number): Reservation | Promise<Reservation> {
    const budgets = this.#definitions.get(spender.tenantId);
    if (budgets === undefined) return NOTHING;
    const holds: Held[] = [];
    const short: Held[] = [];
    for (const budget of budgets) {
      const subject = subjectOf(budget, spender);
      const amount = amounts[budget.unit];
      if (subject === undefined || amount === 0) continue;
      const held = { budget, leased: this.#leasedOf(budget, subject), amount };
      if (held.leased.tryReserve(amount, holdUntilMs)) holds.push(held);
      else short.push(held);
    }
    if (short.length > 0) return this.#extend(holds, short, holdUntilMs);
    return this.#reserved(holds);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#tendAll();
  }

  async #extend(holds: Held[], short: readonly Held[], holdUntilMs: number): Promise<Reservation> {
    for (const held of short) {
      // oxlint-disable-next-line no-await-in-loop -- the first that refuses ends it
      const fault = await this.#ask(held, holdUntilMs);
      if (fault === undefined) holds.push(held);
      else if (fault !== 'pass') {
        for (const { leased, amount } of holds) leased.settle(amount, 0);
        throw fault;
      }
    }
    return this.#reserved(holds);
  }

  /** Undefined: reserved. `pass`: not reserved, and the budget lets pass. */
  async #ask({ budget, leased, amount }: Held, holdUntilMs: number): Promise<BeamlineError | 'pass' | undefined> {
    let fault: BeamlineError;
    try {
      if (await leased.reserve(amount, holdUntilMs, budget.limit)) return undefined;
      this.#count(budget.action === 'warn' ? 'warned' : 'refused').add();
      fault = this.#exceeded(budget);
    } catch (thrown) {
      this.#count('unavailable').add();
      fault = new BeamlineError('unavailable', 'the budget cannot be asked now', {
        cause: thrown,
        retryAfterMs: 1_000,
      });
    }
    return budget.action === 'warn' ? 'pass' : fault;
  }

  #reserved(holds: readonly Held[]): Reservation {
    if (holds.length === 0) return NOTHING;
    this.#count('reserved').add();
    this.#timer ??= this.#deps.timers.after(TEND_MS, () => this.#tend());
    let isOpen = true;
    return {
      settle: (actual) => {
        if (!isOpen) return;
        isOpen = false;
        for (const { budget, leased, amount } of holds) leased.settle(amount, actual[budget.unit]);
      },
    };
  }

  #exceeded({ id, scope, unit, window }: Budget): BeamlineError {
    const nowMs = this.#deps.timers.clock.epochMs();
    const endMs = windowEndMs(window, nowMs);
    return new BeamlineError('budget_exceeded', `The budget ${id} is spent.`, {
      details: { budget: id, scope, unit, window },
      ...(endMs === undefined ? {} : { retryAfterMs: endMs - nowMs }),
    });
  }

  #leasedOf(budget: Budget, subject: string): LeasedBudget {
    const { bucket, holder, timers } = this.#deps;
    const account = accountOf(budget, subject, timers.clock.epochMs());
    const key = budgetKey(account);
    const known = this.#leased.get(key);
    if (known !== undefined) return known.leased;
    const leased = new LeasedBudget({ bucket, account, holder, clock: timers.clock });
    this.#leased.set(key, { budget, leased });
    return leased;
  }

  #tend(): void {
    this.#timer = undefined;
    void this.#tendAll().then(() => {
      if (this.#leased.size > 0 && !this.#isClosed) {
        this.#timer ??= this.#deps.timers.after(TEND_MS, () => this.#tend());
      }
    });
  }

  async #tendAll(): Promise<void> {
    await Promise.all(
      [...this.#leased].map(async ([key, { budget, leased }]) => {
        // What the bucket cannot take now it takes the next time.
        await leased.tend(budget.limit).catch(() => undefined);
        this.#warn(key, budget, leased);
        if (leased.isIdle) {
          this.#leased.delete(key);
          this.#warned.delete(key);
        }
      }),
    );
  }

  #warn(key: string, { id, tenant_id, warn_at }: Budget, { usedShare }: LeasedBudget): void {
    if (usedShare < warn_at || this.#warned.has(key)) return;
    this.#warned.add(key);
    this.#deps.telemetry.log.for('budgets').warn('budget_warning', { tenant_id, source: id });
  }
}

function accountOf(budget: Budget, subject: string, epochMs: number): BudgetAccount {
  const { tenant_id, id: budget_id, scope, unit, window } = budget;
  const from_ms = windowStartMs(window, epochMs);
  const until_ms = windowEndMs(window, epochMs);
  const account = { tenant_id, budget_id, scope, subject, unit, from_ms };
  return until_ms === undefined ? account : { ...account, until_ms };
}

/** The value that a budget counts this spender under; undefined if the budget is not about them. */
function subjectOf({ scope, subject }: Budget, spender: Spender): string | undefined {
  const value = VALUES[scope](spender);
  return value !== undefined && (subject === '*' || subject === value) ? value : undefined;
}

const VALUES: Readonly<Record<Budget['scope'], (spender: Spender) => string | undefined>> = {
  tenant: () => '-',
  key: ({ keyId }) => keyId,
  user: ({ userId }) => userId,
  policy: ({ policyId }) => policyId,
  // Known only once a router has decided; the configuration does not offer them here.
  provider: () => undefined,
  tag: () => undefined,
};
