// The seam between the HTTP edge and the relay: what a caller ordered, and who reads the answer.
import type { CancelReason } from '../contracts/cancel.ts';
import type { EndFrame } from '../contracts/frames.ts';
import type { BeamlineError } from '../core/errors.ts';
import type { Wishes } from './wishes.ts';

/** One interactive request, authenticated and validated. */
export interface Order {
  readonly requestId: string;
  readonly traceId: string;
  readonly tenantId: string;
  readonly keyId: string;
  readonly scopes: readonly string[];
  readonly userId: string | undefined;
  readonly taskType: 'ai.chat' | 'ai.embed';
  /** The wire format of `body`, for example `openai.chat`. */
  readonly dialect: string;
  /** The caller's body, parsed and unchanged. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly stream: boolean;
  readonly policyId: string;
  readonly model: string | undefined;
  readonly providersAllow: readonly string[] | undefined;
  /** Facts that policies read as `context.*`, for example the sticky key. */
  readonly context: Readonly<Record<string, unknown>>;
  readonly inputTokensEstimate: number;
  /** Of the body. */
  readonly sizeBytes: number;
  readonly outputTokensMax: number | undefined;
  /** Milliseconds from now to the moment by which the answer is complete. */
  readonly deadlineMs: number;
  /** Longest silence between content chunks that the caller accepts. */
  readonly idleMs: number | undefined;
  /** Attempts that the caller allows; may only lower the policy's. */
  readonly attemptsMax: number | undefined;
  readonly wishes: Wishes | undefined;
}

/** How the answering attempt was chosen; complete once the first chunk or the end has come. */
export interface Routed {
  readonly providerId: string | undefined;
  readonly model: string | undefined;
  readonly policyId: string | undefined;
  readonly policyRevision: number | undefined;
  readonly attempts: number;
  /** Total of all attempts; known at the end. */
  readonly costMicroUsd: number | undefined;
}

/**
 * Hears one answer: any number of chunks, then exactly one `end` or `fail`, and nothing after it.
 * Calls come synchronously from the bus; they must not throw.
 */
export interface Reader {
  /** One event payload in the caller's dialect, without line breaks; `isUsageOnly` marks a usage report without choices. */
  chunk(raw: string, isUsageOnly: boolean): void;
  end(frame: EndFrame): void;
  fail(error: BeamlineError): void;
}

export interface Exchange {
  readonly routed: Routed;
  /** Ends the exchange from the caller's side: cancels on the bus; the reader hears nothing more. */
  cancel(reason: CancelReason): void;
}

/** All interactive requests of a gateway. */
export interface Exchanges {
  readonly active: number;
  open(order: Order, reader: Reader): Exchange;
}
