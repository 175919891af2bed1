// What an attempt consumed and cost: the provider's report, or an estimate that is marked as one.
import type { Usage } from '../contracts/fields.ts';
import { executionRow, type ExecutionFailure } from '../core/execution-errors.ts';
import type { TokenUsage } from '../provider/provider.ts';

/** Bytes or characters per token of an estimate (gateway 7.3). */
const CHARS_PER_TOKEN = 4;

export interface Cost {
  readonly costMicroUsd: number;
  readonly isUnpriced: boolean;
}

/** The price book as a worker sees it. */
export type CostOf = (providerId: string, model: string, usage: TokenUsage) => Cost;

export function estimateTokens(body: unknown, outputChars: number): TokenUsage {
  return {
    inputTokens: Math.ceil(JSON.stringify(body).length / CHARS_PER_TOKEN),
    outputTokens: Math.ceil(outputChars / CHARS_PER_TOKEN),
    cachedInputTokens: 0,
    reasoningTokens: 0,
  };
}

/**
 * Whether a provider may charge for what was asked of it before this failure: the request had left, and nobody refused it.
 * What a provider refused by its status or in words is taken as not charged.
 */
export function mayBeCharged({ code, detailCode, httpStatus }: ExecutionFailure): boolean {
  if (code === 'NETWORK_ERROR') return detailCode === 'reset' || detailCode === 'closed';
  if (code === 'PROVIDER_PROTOCOL_ERROR') return httpStatus === undefined;
  if (code === 'WORKER_UNAVAILABLE' || code === 'WORKER_LOST' || code === 'OUTPUT_TOO_LARGE') return true;
  return executionRow(code).class === 'timeout' && detailCode !== 'connect';
}

export function meter(
  costOf: CostOf,
  used: {
    readonly providerId: string;
    readonly model: string;
    readonly tokens: TokenUsage;
    readonly isEstimated: boolean;
  },
): Usage {
  const { tokens } = used;
  const { costMicroUsd, isUnpriced } = costOf(used.providerId, used.model, tokens);
  const usage: Usage = {
    model: used.model,
    input_tokens: tokens.inputTokens,
    output_tokens: tokens.outputTokens,
    cost_micro_usd: costMicroUsd,
  };
  if (tokens.cachedInputTokens > 0) usage.cached_input_tokens = tokens.cachedInputTokens;
  if (tokens.reasoningTokens > 0) usage.reasoning_tokens = tokens.reasoningTokens;
  if (used.isEstimated) usage.estimated = true;
  if (isUnpriced) usage.unpriced = true;
  return usage;
}
