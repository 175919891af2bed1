// Folds usage events into totals, each event once by its key, in any order and however often it comes.
// The totals are in memory: they begin anew with the process. The account that survives is later work.
import type { UsageEvent } from '../contracts/usage.ts';
import { Recent } from '../core/recent.ts';

/** Keys that are remembered; a repeat of an older one would be counted again. */
const KEYS_MAX = 20_000;
const ACCOUNTS_MAX = 10_000;

export interface Total {
  events: number;
  inputTokens: number;
  outputTokens: number;
  costMicroUsd: number;
}

export class UsageFold {
  readonly #seen = new Recent<true>(KEYS_MAX);
  readonly #totals = new Map<string, Total>();

  /** False for an event that was folded before. */
  fold(event: UsageEvent): boolean {
    const key = event.usage_id ?? `${event.tenant_id}:${event.assignment_id}:${event.attempt ?? 1}`;
    if (this.#seen.has(key)) return false;
    this.#seen.set(key, true);
    const total = this.#totalOf(event);
    total.events++;
    total.inputTokens += event.input_tokens ?? 0;
    total.outputTokens += event.output_tokens ?? 0;
    total.costMicroUsd += event.cost_micro_usd ?? Math.round(event.cost * 1e6);
    return true;
  }

  total(tenantId: string, providerId: string): Readonly<Total> | undefined {
    return this.#totals.get(`${tenantId} ${providerId}`);
  }

  #totalOf(event: UsageEvent): Total {
    const isFull = this.#totals.size >= ACCOUNTS_MAX;
    const account = `${event.tenant_id} ${event.provider_id}`;
    const key = isFull && !this.#totals.has(account) ? 'other other' : account;
    const total = this.#totals.get(key) ?? {
      events: 0,
      inputTokens: 0,
      outputTokens: 0,
      costMicroUsd: 0,
    };
    this.#totals.set(key, total);
    return total;
  }
}
