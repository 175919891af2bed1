// What an attempt on a target will probably take and cost (policy 4, 5.2), as far as anybody knows.
import type { Facts, Live } from './facts.ts';
import type { Target } from './policy.ts';

/** Input and output tokens of a request without an estimate. */
export const TOKENS = 1_000;

/** Micro-USD by the price book; undefined for an unpriced model. */
export function expectedCost(target: Target, facts: Facts, live: Live): number | undefined {
  const model = target.model ?? facts.model;
  if (model === undefined || live.costMicroUsd === undefined) return undefined;
  return live.costMicroUsd(target, model, facts.inputTokens ?? TOKENS, facts.maxOutputTokens ?? TOKENS);
}

/** Milliseconds to the first chunk of a stream, else to the whole answer; undefined without recent results. */
export const expectedLatency = (target: Target, facts: Facts, live: Live): number | undefined =>
  live.latency?.(target.name, facts.stream)?.ms;

/** Both, for an attempt; undefined is what nobody knows. */
export interface Expectations {
  readonly expectedLatencyMs?: number | undefined;
  readonly expectedCostMicroUsd?: number | undefined;
}

export const expectationsOf = (target: Target, facts: Facts, live: Live): Expectations => ({
  expectedLatencyMs: expectedLatency(target, facts, live),
  expectedCostMicroUsd: expectedCost(target, facts, live),
});
