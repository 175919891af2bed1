// Money and quotas before a request runs: reserve, then settle once (gateway 7.2, 7.3; worker 14.3).
// M1. A request reserves in every budget that it falls under, or in none.
// M2. A reservation ends once: what was spent stays counted until the ledger has it, the rest is free at once.
// M3. A budget that cannot be asked refuses if it blocks (`unavailable`), and lets pass if it only warns.
import type { Budget, BudgetUnit } from '../contracts/budget.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { BudgetDefinitions } from './budget-definitions.ts';
import type { LeasedBudget } from './leased-budget.ts';
import { Leases, type LeasesDeps } from './leases.ts';
import { windowEndMs } from './window.ts';

/** Who spends, as far as whoever reserves knows; a budget about what is not known is left to others. */
export interface Spender {
  readonly tenantId: string;
  readonly keyId?: string | undefined;
  readonly userId?: string | undefined;
  readonly policyId?: string | undefined;
  /** Known once a router has decided. */
  readonly providerId?: string | undefined;
  /** Each once. */
  readonly tags?: readonly string[] | undefined;
}

export type Amounts = Readonly<Record<BudgetUnit, number>>;

export const NO_AMOUNTS: Amounts = Object.freeze({ micro_usd: 0, tokens: 0, requests: 0 });

/** Holds what a request may spend at most. */
export interface Reservation {
  /** Once; further calls change nothing. `actual` is what all attempts took together. */
  settle(actual: Amounts): void;
}

/** What callers are told to wait for a budget that is never reset: only its change helps, and nobody knows when. */
const NO_RESET_MS = 86_400_000;

export interface BudgetsDeps extends LeasesDeps {
  readonly definitions: BudgetDefinitions;
}

interface Held {
  readonly budget: Budget;
  readonly leased: LeasedBudget;
  readonly amount: number;
}

const NOTHING: Reservation = { settle: () => undefined };

export class Budgets implements AsyncDisposable {
  readonly #timers: Timers;
  readonly #definitions: BudgetDefinitions;
  readonly #leases: Leases;
  readonly #count: (result: 'reserved' | 'refused' | 'warned' | 'unavailable') => Counter;

  constructor(deps: BudgetsDeps) {
    this.#timers = deps.timers;
    this.#definitions = deps.definitions;
    this.#leases = new Leases(deps);
    deps.definitions.onChange((tenantId, id, budget) => this.#leases.changed(tenantId, id, budget));
    const results = deps.telemetry.metrics.counter({
      name: 'budget_reservations_total',
      help: 'Reservations in budgets by result.',
      labels: ['result'],
    });
    this.#count = (result) => results.of(result);
  }

  /** Whether any budget may be about requests of the tenant. */
  covers(tenantId: string): boolean {
    return this.#definitions.of(tenantId).length > 0;
  }

  /**
   * At once where leases suffice. `holdUntilMs` is the epoch moment at which the request has ended at the latest.
   * Throws `budget_exceeded` with the time to the next window, or `unavailable`.
   */
  reserve(spender: Spender, amounts: Amounts, holdUntilMs: number): Reservation | Promise<Reservation> {
    const holds: Held[] = [];
    const short: Held[] = [];
    for (const budget of this.#definitions.of(spender.tenantId)) {
      const amount = amounts[budget.unit];
      if (amount === 0) continue;
      for (const subject of subjectsOf(budget, spender)) {
        const held = { budget, leased: this.#leases.of(budget, subject), amount };
        if (held.leased.tryReserve(amount, holdUntilMs)) holds.push(held);
        else short.push(held);
      }
    }
    if (short.length > 0) return this.#extend(holds, short, holdUntilMs);
    return this.#reserved(holds);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leases[Symbol.asyncDispose]();
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
      fault = budgetExceeded(budget, this.#timers.clock.epochMs());
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
    let isOpen = true;
    return {
      settle: (actual) => {
        if (!isOpen) return;
        isOpen = false;
        for (const { budget, leased, amount } of holds) leased.settle(amount, actual[budget.unit]);
      },
    };
  }
}

/** With the time to the next window; `name` replaces the id where callers know the budget by another. */
export function budgetExceeded(budget: Budget, epochMs: number, name = budget.id): BeamlineError {
  const { scope, unit, window } = budget;
  const endMs = windowEndMs(window, epochMs) ?? epochMs + NO_RESET_MS;
  return new BeamlineError('budget_exceeded', `The budget ${name} is spent.`, {
    details: { budget: name, scope, unit, window },
    retryAfterMs: endMs - epochMs,
  });
}

const NOBODY: readonly string[] = Object.freeze([]);
const TENANT: readonly string[] = Object.freeze(['-']);

/** The values that a budget counts this spender under, each apart; none if the budget is not about them. */
function subjectsOf({ scope, subject }: Budget, spender: Spender): readonly string[] {
  if (scope === 'tenant') return TENANT;
  if (scope === 'tag') return spender.tags?.filter((tag) => subject === '*' || subject === tag) ?? NOBODY;
  const value = VALUES[scope](spender);
  return value !== undefined && (subject === '*' || subject === value) ? [value] : NOBODY;
}

const VALUES: Readonly<Record<Exclude<Budget['scope'], 'tenant' | 'tag'>, (of: Spender) => string | undefined>> = {
  key: ({ keyId }) => keyId,
  user: ({ userId }) => userId,
  policy: ({ policyId }) => policyId,
  provider: ({ providerId }) => providerId,
};
