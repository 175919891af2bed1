// Folds usage events into totals, each event once by its key, in any order and however often it comes.
// The totals are in memory: they begin anew with the process. The account that survives is later work.
import type { UsageEvent } from '../contracts/usage.ts';
import { RecentNumbers } from '../core/recent-numbers.ts';

/** Keys that are remembered; a repeat of an older one would be counted again. */
const KEYS_MAX = 20_000;
const ACCOUNTS_MAX = 10_000;

export interface Total {
  events: number;
  inputTokens: number;
  outputTokens: number;
  costMicroUsd: number;
}

const emptyTotal = (): Total => ({ events: 0, inputTokens: 0, outputTokens: 0, costMicroUsd: 0 });

export class UsageFold {
  readonly #seen = new RecentNumbers(KEYS_MAX);
  /** By tenant, then by provider. */
  readonly #totals = new Map<string, Map<string, Total>>();
  #accounts = 0;
  /** What goes beyond the accounts that are kept. */
  readonly #rest = emptyTotal();

  /** False for an event that was folded before. */
  fold(event: UsageEvent): boolean {
    const key = event.usage_id ?? `${event.tenant_id}:${event.assignment_id}:${event.attempt ?? 1}`;
    if (this.#seen.replace(key, 1) !== undefined) return false;
    const total = this.#totalOf(event);
    total.events++;
    total.inputTokens += event.input_tokens ?? 0;
    total.outputTokens += event.output_tokens ?? 0;
    total.costMicroUsd += event.cost_micro_usd ?? Math.round(event.cost * 1e6);
    return true;
  }

  total(tenantId: string, providerId: string): Readonly<Total> | undefined {
    return this.#totals.get(tenantId)?.get(providerId);
  }

  #totalOf({ tenant_id: tenantId, provider_id: providerId }: UsageEvent): Total {
    const known = this.#totals.get(tenantId)?.get(providerId);
    if (known !== undefined) return known;
    if (this.#accounts >= ACCOUNTS_MAX) return this.#rest;
    this.#accounts++;
    const total = emptyTotal();
    const ofTenant = this.#totals.get(tenantId) ?? new Map<string, Total>();
    this.#totals.set(tenantId, ofTenant.set(providerId, total));
    return total;
  }
}
