// Every window of every budget that this process leases from, and what goes back to them by and by (worker 14.3).
// S1. A window is forgotten when nothing of it is held here and nobody asked for some time, so the map follows the traffic.
import { type Budget, type BudgetAccount, budgetKey } from '../contracts/budget.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { type BudgetBucket, LeasedBudget } from './leased-budget.ts';
import { windowEndMs, windowStartMs } from './window.ts';

const TEND_MS = 2_000;
/** Holds nothing, so whatever is leased is leased by others. */
const NOBODY = '-';

export interface LeasesDeps {
  readonly bucket: BudgetBucket;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  /** Of this process; leases stand under it. */
  readonly holder: string;
}

interface Known {
  budget: Budget;
  readonly leased: LeasedBudget;
  isWarned: boolean;
}

export class Leases implements AsyncDisposable {
  readonly #deps: LeasesDeps;
  /** By key of the entry. */
  readonly #known = new Map<string, Known>();
  readonly #warnings: Counter;
  #timer: Timer | undefined;
  #tending: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(deps: LeasesDeps) {
    this.#deps = deps;
    const { metrics } = deps.telemetry;
    const help = 'Budgets whose use passed the share at which they warn, once for each window.';
    this.#warnings = metrics.counter({ name: 'budget_warnings_total', help }).of();
  }

  /** The window of now. */
  of(budget: Budget, subject: string): LeasedBudget {
    const { bucket, holder, timers } = this.#deps;
    const account = accountOf(budget, subject, timers.clock.epochMs());
    const key = budgetKey(account);
    const known = this.#known.get(key);
    if (known !== undefined) return known.leased;
    const leased = new LeasedBudget({ bucket, account, holder, clock: timers.clock });
    this.#known.set(key, { budget, leased, isWarned: false });
    this.#arm();
    return leased;
  }

  /** The window of now as the bucket has it, for a look that leaves no trace: nothing is held in it, nobody else gets it. */
  apart(budget: Budget, subject: string): LeasedBudget {
    const { bucket, timers } = this.#deps;
    const account = accountOf(budget, subject, timers.clock.epochMs());
    return new LeasedBudget({ bucket, account, holder: NOBODY, clock: timers.clock });
  }

  /** The budget has another limit, or is gone: then what was reserved in it counts nowhere any more. */
  changed(tenantId: string, budgetId: string, budget: Budget | undefined): void {
    for (const [key, known] of this.#known) {
      if (known.budget.tenant_id !== tenantId || known.budget.id !== budgetId) continue;
      if (budget === undefined) this.#known.delete(key);
      else {
        if (budget.limit < known.budget.limit) known.leased.forgo();
        known.budget = budget;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#tending;
    await this.#tendAll();
  }

  #arm(): void {
    if (this.#isClosed) return;
    this.#timer ??= this.#deps.timers.after(TEND_MS, () => {
      this.#timer = undefined;
      this.#tending = this.#tendAll().then(() => {
        if (this.#known.size > 0) this.#arm();
      });
    });
  }

  async #tendAll(): Promise<void> {
    await Promise.all(
      [...this.#known].map(async ([key, known]) => {
        // What the bucket cannot take now it takes the next time.
        await known.leased.tend(known.budget.limit, this.#isClosed).catch((fault: unknown) => {
          if (BeamlineError.from(fault).code === 'unavailable') return;
          this.#deps.telemetry.log.for('budgets').error('budget_lease_not_tended', { source: key, fault });
        });
        this.#warn(known);
        if (known.leased.isIdle && this.#known.get(key) === known) this.#known.delete(key);
      }),
    );
  }

  #warn(known: Known): void {
    const { id, tenant_id, warn_at } = known.budget;
    if (known.isWarned || known.leased.usedShare < warn_at) return;
    known.isWarned = true;
    this.#warnings.add();
    this.#deps.telemetry.log.for('budgets').warn('budget_warning', { tenant_id, source: id });
  }
}

function accountOf(budget: Budget, subject: string, epochMs: number): BudgetAccount {
  const { tenant_id, id: budget_id, scope, unit, window, policy_id } = budget;
  const from_ms = windowStartMs(window, epochMs);
  const until_ms = windowEndMs(window, epochMs);
  return {
    tenant_id,
    budget_id,
    scope,
    subject,
    unit,
    from_ms,
    ...(policy_id === undefined ? {} : { policy_id }),
    ...(until_ms === undefined ? {} : { until_ms }),
  };
}
