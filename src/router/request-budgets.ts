// What the budgets of its policy make of one request (policy 9.2), and those of its tenant that are held in by attempts:
// who is left out, what is held for it, what it took.
// Q1. An attempt is held in every budget that it falls under before it is pushed, or it is not pushed.
// Q2. What is held ends once, with the request; what an attempt took and nobody told counts as it was estimated.
// Q3. A refusal is remembered for the request, so no candidate is asked about twice at the same price.
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import { budgetExceeded } from '../limit/budgets.ts';
import type { LeasedBudget } from '../limit/leased-budget.ts';
import type { Budget } from '../contracts/budget.ts';
import type { PolicyBudget } from '../policy/budget-document.ts';
import type { Budget as BudgetTold } from '../policy/facts.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { AttemptHolds, Chosen } from './attempt-holds.ts';

/** A view that is older is read anew before a decision. */
const KNOWN_MS = 10_000;
/** A budget that was spent so short a time ago still is. */
const SPENT_MS = 1_000;
const AGAIN_MS = 1_000;

export type HoldResult = 'reserved' | 'refused' | 'restricted' | 'warned' | 'unavailable' | 'unpriced';

/** One budget as one request falls under it. */
export interface BudgetAccount {
  readonly item: PolicyBudget;
  readonly budget: Budget;
  readonly leased: LeasedBudget;
}

/** What a decision is told. */
export interface BudgetStanding {
  readonly tightest: BudgetTold | undefined;
  /** Providers that are left out; undefined if none is. */
  readonly over: ReadonlySet<string> | undefined;
}

export interface RequestBudgetsOptions {
  /** Of the policy. */
  readonly accounts: readonly BudgetAccount[];
  /** In budgets of the tenant; undefined for most. */
  readonly attempts?: AttemptHolds | undefined;
  /** Everybody whom the policy names. */
  readonly providers: readonly string[];
  /** The epoch moment by which the request is over. */
  readonly holdUntilMs: number;
  readonly timers: Timers;
  readonly count: (result: HoldResult) => Counter;
}

const NO_TAGS: readonly string[] = Object.freeze([]);

interface Account extends BudgetAccount {
  held: number;
  /** It refused this request, or could not be asked. */
  isExceeded: boolean;
}

export class RequestBudgets {
  readonly #options: RequestBudgetsOptions;
  readonly #accounts: readonly Account[];
  /** Providers whom a budget did not bear. */
  readonly #refused = new Set<string>();
  #refusal: BeamlineError | undefined;
  #isOver = false;
  /** Of attempts that are over, and what the one under way may take; undefined before the first. */
  #tookMicroUsd = 0;
  #openMicroUsd: number | undefined;

  constructor(options: RequestBudgetsOptions) {
    this.#options = options;
    this.#accounts = options.accounts.map((account) => ({ ...account, held: 0, isExceeded: false }));
  }

  /** Undefined if everything is known; else resolves when it was read, or cannot be. */
  known(): Promise<void> | undefined {
    const sinceMs = this.#options.timers.clock.nowMs() - KNOWN_MS;
    const looks = this.#accounts
      .filter(({ leased, budget }) => leased.view(budget.limit).readAtMs < sinceMs)
      .map(({ leased, budget }) => leased.look(budget.limit));
    return looks.length === 0 ? undefined : Promise.allSettled(looks).then(() => undefined);
  }

  standing(): BudgetStanding {
    const over = new Set(this.#refused);
    let tightest: BudgetTold | undefined;
    for (const account of this.#accounts) {
      const told = toldOf(account);
      if (tightest === undefined || ratioOf(told) > ratioOf(tightest)) tightest = told;
      if (this.#isExceeded(account)) for (const name of this.#leftOutBy(account.item)) over.add(name);
    }
    return { tightest, over: over.size === 0 ? undefined : over };
  }

  /**
   * Holds what an attempt may cost, more than before if it must be more; at once where leases suffice. False: the
   * budgets do not bear it, and `standing` says so from now on. `tags` are those that its decision adds to the order's.
   * Throws `unavailable`.
   */
  hold(
    target: Chosen,
    costMicroUsd: number | undefined,
    tags: readonly string[] = NO_TAGS,
  ): boolean | Promise<boolean> {
    const { attempts } = this.#options;
    const held = this.#accounts.length === 0 || this.#holdInPolicy(target.name, costMicroUsd);
    return attempts === undefined || held === false ? held : this.#holdInTenant(attempts, { held, target, tags });
  }

  async #holdInTenant(
    attempts: AttemptHolds,
    { held, target, tags }: { held: true | Promise<boolean>; target: Chosen; tags: readonly string[] },
  ): Promise<boolean> {
    if (!(await held)) return false;
    try {
      return await attempts.hold(target, tags);
    } catch (thrown) {
      const refusal = BeamlineError.from(thrown);
      if (refusal.code !== 'budget_exceeded') throw refusal;
      this.#refusal ??= refusal;
      // A tag is everybody's.
      const out = refusal.details['scope'] === 'tag' ? this.#options.providers : [target.name];
      for (const name of out) this.#refused.add(name);
      return false;
    }
  }

  #holdInPolicy(provider: string, costMicroUsd: number | undefined): boolean | Promise<boolean> {
    if (costMicroUsd === undefined) this.#options.count('unpriced').add();
    const amount = costMicroUsd ?? 0;
    const taken: (readonly [Account, number])[] = [];
    const short: (readonly [Account, number])[] = [];
    for (const account of this.#accounts) {
      const more = amount - account.held;
      if (more <= 0) continue;
      if (account.leased.tryReserve(more, this.#options.holdUntilMs)) this.#take(account, more, taken);
      else short.push([account, more]);
    }
    if (short.length > 0) return this.#extend(provider, taken, short);
    this.#options.count('reserved').add();
    return true;
  }

  /** The refusal that left nobody, with the time to the next window. */
  exceeded(explanation?: object): BeamlineError {
    const by = this.#accounts.find((account) => this.#isExceeded(account));
    const told = this.#refusal ?? (by && this.#refusalBy(by));
    if (told === undefined) return new BeamlineError('budget_exceeded', 'A budget of the policy is spent.');
    if (explanation === undefined) return told;
    const { message, retryAfterMs = 0, details } = told;
    return new BeamlineError('budget_exceeded', message, { details: { ...details, explanation }, retryAfterMs });
  }

  /** An attempt was pushed. One that repeats another which nobody took costs nothing more. */
  sent(costMicroUsd: number | undefined): void {
    this.#options.attempts?.sent();
    this.#openMicroUsd = costMicroUsd ?? 0;
  }

  /** It has ended; undefined if nobody knows what it took. */
  ended(costMicroUsd: number | undefined, outputTokens?: number): void {
    this.#options.attempts?.ended(outputTokens);
    if (this.#openMicroUsd === undefined) return;
    this.#tookMicroUsd += costMicroUsd ?? this.#openMicroUsd;
    this.#openMicroUsd = undefined;
  }

  /** What was to be pushed was not. */
  unsent(): void {
    this.#options.attempts?.unsent();
    this.#openMicroUsd = undefined;
  }

  /** Once; further calls change nothing. */
  settle(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.attempts?.settle();
    const tookMicroUsd = this.#tookMicroUsd + (this.#openMicroUsd ?? 0);
    for (const account of this.#accounts) {
      // Of a budget that let the request pass unheld it takes what is free.
      account.leased.settle(account.held, tookMicroUsd);
      account.held = 0;
    }
  }

  async #extend(
    provider: string,
    taken: (readonly [Account, number])[],
    short: readonly (readonly [Account, number])[],
  ): Promise<boolean> {
    const { count } = this.#options;
    try {
      for (const [account, more] of short) {
        // eslint-disable-next-line no-await-in-loop -- the first that refuses ends it
        if (!(await this.#ask(provider, account, more, taken))) return this.#giveBack(taken);
        if (this.#isOver) return this.#giveBack(taken);
      }
    } catch (fault) {
      this.#giveBack(taken);
      throw fault;
    }
    count('reserved').add();
    return true;
  }

  /** False: the budget leaves the provider out. */
  async #ask(
    provider: string,
    account: Account,
    more: number,
    taken: (readonly [Account, number])[],
  ): Promise<boolean> {
    const { count, holdUntilMs } = this.#options;
    const { item, leased, budget } = account;
    let isUnasked = false;
    try {
      if (await leased.reserve(more, holdUntilMs, budget.limit)) {
        this.#take(account, more, taken);
        return true;
      }
    } catch (cause) {
      isUnasked = true;
      count('unavailable').add();
      if (item.onExceed === 'reject') {
        throw new BeamlineError('unavailable', 'the budget of the policy cannot be asked now', {
          cause,
          retryAfterMs: AGAIN_MS,
        });
      }
    }
    switch (item.onExceed) {
      case 'warn':
        if (!isUnasked) count('warned').add();
        return true;
      case 'restrict':
        count('restricted').add();
        account.isExceeded = true;
        return item.restrictTo.has(provider);
      case 'reject':
        count('refused').add();
        this.#refused.add(provider);
        this.#refusal ??= this.#refusalBy(account);
        return false;
    }
  }

  #refusalBy({ budget, item }: BudgetAccount): BeamlineError {
    return budgetExceeded(budget, this.#options.timers.clock.epochMs(), item.id);
  }

  #take(account: Account, more: number, taken: (readonly [Account, number])[]): void {
    account.held += more;
    taken.push([account, more]);
  }

  #giveBack(taken: readonly (readonly [Account, number])[]): false {
    // Whoever settled meanwhile has given all of it back.
    for (const [account, more] of taken) {
      if (account.held < more) continue;
      account.held -= more;
      account.leased.settle(more, 0);
    }
    return false;
  }

  /** A request that holds something is within the budget already. */
  #isExceeded({ isExceeded, held, leased, budget: { limit } }: Account): boolean {
    if (isExceeded || held > 0) return isExceeded;
    const { settled, reserved, readAtMs } = leased.view(limit);
    return settled + reserved >= limit && this.#options.timers.clock.nowMs() - readAtMs <= SPENT_MS;
  }

  #leftOutBy({ onExceed, restrictTo }: PolicyBudget): readonly string[] {
    const { providers } = this.#options;
    if (onExceed === 'warn') return [];
    return onExceed === 'reject' ? providers : providers.filter((name) => !restrictTo.has(name));
  }
}

function toldOf({ item, leased, budget }: BudgetAccount): BudgetTold {
  const { limit, settled, reserved } = leased.view(budget.limit);
  return { id: item.id, limitMicroUsd: limit, spentMicroUsd: settled, reservedMicroUsd: reserved };
}

const ratioOf = ({ limitMicroUsd, spentMicroUsd, reservedMicroUsd }: BudgetTold): number =>
  limitMicroUsd === 0 ? Number.POSITIVE_INFINITY : (spentMicroUsd + reservedMicroUsd) / limitMicroUsd;
