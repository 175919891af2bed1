// Budgets of tenants that a gateway cannot hold in, because only a decision names whom they are about: a provider, or a tag
// that a rule adds. A router holds in them for every attempt before it is sent (gateway 7.2, 7.3; worker 14.3).
// B1. A router serves nobody before it knows the budgets that there are; of one that is made later it hears a moment after.
import type { Bus, Entry } from '../bus/bus.ts';
import { followBucket } from '../bus/follow-bucket.ts';
import type { PriceBook } from '../catalog/price-book.ts';
import { type Budget, budgetBucket, definitionKeys } from '../contracts/budget.ts';
import type { Timers } from '../core/timers.ts';
import { BudgetDefinitions } from '../limit/budget-definitions.ts';
import { type Amounts, Budgets } from '../limit/budgets.ts';
import { hearDefinition } from '../limit/hear-definition.ts';
import { TOKENS } from '../policy/expectations.ts';
import type { Facts } from '../policy/facts.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { AttemptHolds, type Chosen } from './attempt-holds.ts';

export interface TenantBudgetsDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly holder: string;
  readonly configured: readonly Budget[];
  /** Absent: every attempt costs 0. */
  readonly prices?: PriceBook | undefined;
  /** Of a request that names no maximum. */
  readonly outputTokens: number;
}

const isForRouters = ({ scope }: Budget): boolean => scope === 'provider' || scope === 'tag';

export class TenantBudgets implements AsyncDisposable {
  readonly #deps: TenantBudgetsDeps;
  readonly #definitions: BudgetDefinitions;
  readonly #budgets: Budgets;
  readonly #closing = new AbortController();

  static async open(deps: TenantBudgetsDeps): Promise<TenantBudgets> {
    const bucket = await deps.bus.openBucket(budgetBucket);
    const definitions = new BudgetDefinitions(deps.configured.filter(isForRouters));
    const { log } = deps.telemetry;
    const hear = (entry: Entry): void => hearDefinition(entry, { definitions, log, isFor: isForRouters });
    for (const entry of await bucket.entries(definitionKeys)) hear(entry);
    const budgets = new TenantBudgets(deps, definitions, new Budgets({ ...deps, bucket, definitions }));
    const { signal } = budgets.#closing;
    const pattern = definitionKeys;
    void followBucket({ ...deps, log, bucket, signal, unwatched: 'budgets_unwatched', pattern, hear });
    return budgets;
  }

  private constructor(deps: TenantBudgetsDeps, definitions: BudgetDefinitions, budgets: Budgets) {
    this.#deps = deps;
    this.#definitions = definitions;
    this.#budgets = budgets;
  }

  /** For the attempts of one request; undefined if no budget may be about them. `withinMs` is when it is over. */
  of(facts: Facts, withinMs: number): AttemptHolds | undefined {
    const { tenantId } = facts;
    if (this.#definitions.of(tenantId).length === 0) return undefined;
    const holdUntilMs = this.#deps.timers.clock.epochMs() + withinMs;
    const amountsOf = (target: Chosen, outputTokens?: number): Amounts => this.#amountsOf(facts, target, outputTokens);
    return new AttemptHolds({ budgets: this.#budgets, tenantId, holdUntilMs, amountsOf });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#budgets[Symbol.asyncDispose]();
  }

  /** What has no price costs nothing. */
  #amountsOf(
    { inputTokens = TOKENS, maxOutputTokens = this.#deps.outputTokens, model: asked }: Facts,
    { name, model = asked }: Chosen,
    outputTokens = maxOutputTokens,
  ): Amounts {
    const usage = { inputTokens, outputTokens, cachedInputTokens: 0 };
    const cost = model === undefined ? undefined : this.#deps.prices?.costOf(name, model, usage);
    return { micro_usd: cost?.costMicroUsd ?? 0, tokens: inputTokens + outputTokens, requests: 1 };
  }
}
