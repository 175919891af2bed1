// The inputs of a decision: what the request says, and what the router knows at this moment.
// A decision reads nothing else, so that equal inputs give an equal answer on every router.
import type { Target } from './policy.ts';
import type { RouterShare } from './router-share.ts';

/** What the request says; frozen once per request. */
export interface Facts {
  readonly tenantId: string;
  readonly requestId: string;
  readonly taskType: string;
  readonly model?: string | undefined;
  readonly stream: boolean;
  readonly context: Readonly<Record<string, unknown>>;
  readonly providersAllow?: readonly string[] | undefined;
  readonly providersDeny?: readonly string[] | undefined;
  /** The caller's estimate of tokens. */
  readonly inputTokens?: number | undefined;
  readonly maxOutputTokens?: number | undefined;
  /** What the request may cost, and how long it may take. */
  readonly maxCostMicroUsd?: number | undefined;
  readonly maxLatencyMs?: number | undefined;
  /** What only expressions read (policy 3.4). Unknown numbers are 0 there, unknown texts empty. */
  readonly durable?: boolean | undefined;
  readonly dialect?: string | undefined;
  readonly priority?: number | undefined;
  readonly deadlineMs?: number | undefined;
  readonly sizeBytes?: number | undefined;
  readonly hasTools?: boolean | undefined;
  readonly hasImages?: boolean | undefined;
  readonly idempotent?: boolean | undefined;
  readonly keyId?: string | undefined;
  readonly userId?: string | undefined;
  readonly scopes?: readonly string[] | undefined;
  readonly tenantTier?: string | undefined;
  readonly tenantLabels?: Readonly<Record<string, unknown>> | undefined;
  readonly taskSizeBytes?: number | undefined;
  /** Scalar parameters of the payload such as `temperature`, never message content. */
  readonly taskParams?: Readonly<Record<string, unknown>> | undefined;
  /** When the request came, in milliseconds since 1970; taken once. */
  readonly timeMs?: number | undefined;
  /** May lower the policy's `retry.max_attempts`, never raise it. */
  readonly maxAttempts?: number | undefined;
  /** May lower the `base_ms` of the policy's waits, never raise it. */
  readonly backoffMs?: number | undefined;
  /** Of a dry run; else `<tenant_id>:<request_id>`. */
  readonly seed?: string | undefined;
}

/** The state of providers and workers. A question that is not answered removes nothing. */
export interface Live {
  isOpen?(provider: string): boolean;
  /** Whether its breaker admits a few attempts to try it; it may be open for this one all the same. */
  isHalfOpen?(provider: string): boolean;
  /** Whether the provider's limit will still hold after `afterMs` milliseconds. */
  isCooling?(provider: string, afterMs: number): boolean;
  hasCapacity?(target: Target): boolean;
  /** 1 healthy or unknown, 0.7 degraded, 0.3 overloaded. */
  poolFactor?(pool: string): number;
  /** Attempts of the provider that run now on this router. */
  inFlight?(provider: string): number;
  /** How many attempts the target can run at once; undefined if nobody knows. */
  capacity?(target: Target): number | undefined;
  /** Moving average of its results (policy 5.2); undefined without recent ones. */
  latency?(provider: string, stream: boolean): { readonly ms: number; readonly samples: number } | undefined;
  /** Share of failures in the breaker's window, 0 to 1. */
  errorRate?(provider: string): number;
  /** Of a request with so many tokens, from the price book; undefined for an unpriced model. */
  costMicroUsd?(target: Target, model: string, inputTokens: number, outputTokens: number): number | undefined;
  /** Providers that a budget of the policy leaves out: it is spent, or cannot bear what they cost. */
  overBudget?: ReadonlySet<string> | undefined;
  /** Those that hold a target's `max_in_flight` together; absent: this router alone. */
  routers?: RouterShare | undefined;
  /** The tightest budget of the policy; undefined without budgets. */
  budget?(): Budget | undefined;
}

/** One budget of a policy (policy 9.2), in micro-USD. */
export interface Budget {
  readonly id: string;
  readonly limitMicroUsd: number;
  readonly spentMicroUsd: number;
  readonly reservedMicroUsd: number;
}

/** What the router knows when it decides one attempt. */
export interface Snapshot extends Live {
  /** From 1. */
  readonly attempt: number;
  /** Providers with a failed attempt in this request. */
  readonly failed: ReadonlySet<string>;
  /** Status words of the last failure; empty on the first attempt. */
  readonly failureWords: readonly string[];
  /** Class and provider of the last failure. */
  readonly errorClass?: string | undefined;
  readonly currentProvider?: string | undefined;
  /** The policy's canary was stopped by its own limits. */
  readonly canaryAborted?: boolean | undefined;
  /** The provider that is bound to the session, if the binding is alive. */
  readonly sticky?: string | undefined;
}

export const seedOf = (facts: Pick<Facts, 'seed' | 'tenantId' | 'requestId'>): string =>
  facts.seed ?? `${facts.tenantId}:${facts.requestId}`;
