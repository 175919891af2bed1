// The OpenAI chat format, both directions.

/** What one streamed event says, read once. */
export interface ChatChunk {
  /** Content, reasoning, a refusal or a tool call: what commits a stream. */
  readonly hasContent: boolean;
  /** Usage and no choices. */
  readonly isUsageOnly: boolean;
}
