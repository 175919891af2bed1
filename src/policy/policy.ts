// A policy that was checked and compiled: one revision, frozen, read by every decision and changed by none.
import type { BreakerSettings } from '../core/breaker-settings.ts';
import type { PolicyBudget } from './budget-document.ts';
import type { RateLimit } from './rate-limit-document.ts';
import type { FailureClass } from '../core/execution-errors.ts';
import type { Condition, Scope } from './condition.ts';

/** A provider with its share, the model that it is sent and the pool of workers that call it. */
export interface Target {
  readonly name: string;
  readonly weight: number;
  /** Higher is tried first by the strategy `priority`. */
  readonly priority: number;
  /** Sent instead of the requested model. */
  readonly model: string | undefined;
  /** Whether the provider serves a requested model; absent: it serves any. */
  readonly serves: ((model: string) => boolean) | undefined;
  readonly pool: string;
  /** Attempts at once over all routers; absent: no bound of the policy. */
  readonly maxInFlight: number | undefined;
  readonly labels: Readonly<Record<string, Label>>;
  readonly enabled: boolean;
  /** Whether it may serve a request. */
  readonly when: TargetCondition | undefined;
}

/** A condition that looks at one provider as well. */
export type TargetCondition = (scope: Scope, target: Target) => boolean;

/** How one of the candidates is taken (policy 5.2). */
export type Strategy = 'weighted' | 'priority' | 'latency' | 'cost' | 'least_busy';

export type Label = string | number | boolean;

/** How long to wait before a try (policy 7.2). */
export interface Backoff {
  readonly strategy: 'exponential' | 'linear' | 'fixed';
  readonly baseMs: number;
  readonly maxMs: number;
  readonly jitter: boolean;
}

/** What to do after a failure that `holds`: `retry` more tries of the failed provider, then `to`. */
export interface Fallback {
  readonly holds: Condition;
  readonly retry: number;
  readonly backoff: Backoff;
  readonly to: Target;
}

/** What to do at once, and once, after a failure that `holds`. */
export interface Escalation {
  readonly holds: Condition;
  readonly to: Target;
  /** In the author's words. */
  readonly reason: string | undefined;
}

/** What a rule or an arm of an experiment does (policy 5.3). */
export interface Effect {
  readonly only: ReadonlySet<string> | undefined;
  readonly exclude: ReadonlySet<string> | undefined;
  readonly where: TargetCondition | undefined;
  /** Replace the weights of these providers. */
  readonly weights: ReadonlyMap<string, number> | undefined;
  readonly strategy: Strategy | undefined;
  /** Lowers the total time of the request. */
  readonly timeoutMs: number | undefined;
  readonly tag: string | undefined;
  /** Undefined for that of an arm. */
  readonly ruleId: string | undefined;
}

/** Ends a decision. */
export interface Rejection {
  readonly code: 'forbidden' | 'content_blocked' | 'rate_limit_exceeded';
  readonly message: string;
}

export interface Rule {
  readonly id: string;
  readonly holds: Condition;
  readonly effect: Effect;
  readonly rejection: Rejection | undefined;
  /** The rules after it are tested although it holds. */
  readonly goesOn: boolean;
}

/** A comparison of arms, each with its share of the units (policy 5.4). */
export interface Experiment {
  readonly id: string;
  readonly holds: Condition;
  /** The context value that keeps a request in its arm. */
  readonly unit: string;
  /** `upTo` is the sum of the shares so far, in percent; an arm without an effect is the control. */
  readonly arms: readonly { readonly name: string; readonly upTo: number; readonly effect: Effect | undefined }[];
}

/** A share of the requests that goes to one provider (policy 5.5). */
export interface Canary {
  readonly to: Target;
  /** Percent. */
  readonly share: number;
  readonly holds: Condition;
  /** The context value that keeps a request in the canary or outside; absent: each request draws. */
  readonly unit: string | undefined;
  /** What stops it, over the window of the breaker. */
  readonly abortOn:
    | { readonly errorRate: number | undefined; readonly p95Ms: number | undefined; readonly minRequests: number }
    | undefined;
}

/** A copy of a share of the requests, whose results are thrown away (policy 5.6). */
export interface Shadow {
  readonly to: Target;
  /** Percent, above 0. */
  readonly share: number;
  readonly holds: Condition;
  /** Copies of one router at once. */
  readonly maxInFlight: number;
}

/** What a request takes part in. */
export interface Arm {
  readonly experiment: string;
  readonly arm: string;
}

/** What rules and experiments make of the policy for one attempt. */
export interface Course {
  /** What conditions look at; absent if the policy has none that a decision needs. */
  readonly scope: Scope | undefined;
  /** In the order in which they hold; a later one wins. */
  readonly effects: readonly Effect[];
  readonly strategy: Strategy;
  /** Total time of the request. */
  readonly timeoutMs: number;
  readonly tags: readonly string[];
  /** The last rule that holds. */
  readonly ruleId: string | undefined;
  readonly arms: readonly Arm[];
  readonly rejection: Rejection | undefined;
}

/** When an extension is asked: before the decision, to change or to judge; or about the output. */
export type ExtensionStage = 'pre' | 'validator' | 'post';

/** One use of an extension (policy 10). */
export interface ExtensionItem {
  readonly id: string;
  readonly stage: ExtensionStage;
  /** `required` and `block` end the request when the extension fails; the others go on, `warn` with a word. */
  readonly onFailure: 'end' | 'warn' | 'ignore';
  readonly config: Readonly<Record<string, unknown>>;
  /** Undefined: the registry's own. */
  readonly timeoutMs: number | undefined;
  readonly retry: number | undefined;
  readonly holds: Condition;
}

export interface Policy {
  /** What it was compiled from, for those who keep records. */
  readonly document: unknown;
  readonly policyId: string;
  /** `*` for a built-in policy, which every tenant has. */
  readonly tenantId: string;
  readonly revision: number;
  /** Format of the document, for example `2.0`. */
  readonly version: string;
  readonly strategy: Strategy;
  /** Candidates within `tolerance` of the best tie; fewer than `minSamples` say nothing of a latency (policy 5.2). */
  readonly strategyOptions: { readonly tolerance: number; readonly minSamples: number };
  /** No provider has a weight above 0, so that no weight says which of them is drawn. */
  readonly isUnweighted: boolean;
  /** Candidates in document order. */
  readonly targets: readonly Target[];
  readonly rules: readonly Rule[];
  readonly experiments: readonly Experiment[];
  readonly canary: Canary | undefined;
  readonly shadow: Shadow | undefined;
  /** The course of every request, if nothing in the policy depends on the request. */
  readonly plainCourse: Course | undefined;
  readonly sticky: { readonly sessionKey: string; readonly ttlMs: number } | undefined;
  /** IANA name, for the conditions on time. */
  readonly timezone: string;
  /** Total time of a request. */
  readonly timeoutMs: number;
  readonly timeouts: {
    readonly firstChunkMs: number | undefined;
    readonly idleMs: number | undefined;
    readonly attemptMs: number | undefined;
  };
  readonly retry: {
    readonly maxAttempts: number;
    readonly on: ReadonlySet<FailureClass>;
    readonly backoff: Backoff;
    /** Retries in the window: at most `ratio` of the first attempts, or `minRetries` (policy 7.2). */
    readonly budget: { readonly ratio: number; readonly minRetries: number; readonly windowSeconds: number };
  };
  readonly fallbacks: readonly Fallback[];
  readonly escalations: readonly Escalation[];
  readonly breaker: BreakerSettings | undefined;
  readonly rateLimit: RateLimit | undefined;
  /** What its traffic may cost; empty for most. */
  readonly budgets: readonly PolicyBudget[];
  /** What is asked before the decision; empty for most. */
  readonly extensions: readonly ExtensionItem[];
  /** What a worker asks about the output; undefined for most. */
  readonly post: readonly ExtensionItem[] | undefined;
}
