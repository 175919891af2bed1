// Token counts of one answer, whatever the wire format they came in.

/** Whole numbers from 0 as the provider reported them; cached and reasoning are parts of input and output. */
export interface TokenUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedInputTokens: number;
  readonly reasoningTokens: number;
}
