// What one decision saw and said (policy 11.3): enough to make it again on another day, on another machine.
// R1. A record holds values, never questions: whatever changes afterwards, it says what was known then.
// R2. It holds what the request says of itself, never its content; `facts` keep their own names.
import type { Verdict } from './decide.ts';
import { type Facts, type Snapshot, seedOf } from './facts.ts';
import type { Arm, Policy } from './policy.ts';
import { type RecordedSnapshot, recordedSnapshotOf, snapshotFrom } from './recorded-snapshot.ts';

export type RecordedVerdict =
  | {
      readonly kind: 'chosen';
      readonly provider_id: string;
      readonly model?: string | undefined;
      readonly reason: string;
      readonly is_sticky?: true | undefined;
      readonly timeout_ms: number;
      readonly tags?: readonly string[] | undefined;
      readonly arms?: readonly Arm[] | undefined;
      readonly expected_latency_ms?: number | undefined;
      readonly expected_cost_micro_usd?: number | undefined;
    }
  | { readonly kind: 'none'; readonly code: string };

export interface DecisionRecord {
  readonly type: 'decision';
  /** Milliseconds since the Unix epoch. */
  readonly time_ms: number;
  readonly tenant_id: string;
  readonly policy_id: string;
  readonly revision: number;
  readonly seed: string;
  readonly attempt: number;
  readonly facts: Facts;
  readonly snapshot: RecordedSnapshot;
  readonly verdict: RecordedVerdict;
}

/** An attempt that follows a failed one by a rule and not by a decision: there is nothing in it to decide again. */
export interface AttemptRecord {
  readonly type: 'attempt';
  readonly time_ms: number;
  readonly tenant_id: string;
  readonly request_id: string;
  readonly policy_id: string;
  readonly revision: number;
  readonly attempt: number;
  readonly provider_id: string;
  readonly model?: string | undefined;
  readonly reason: string;
  /** The author's words, where the policy has some. */
  readonly why?: string | undefined;
  /** Execution code of the failure that it follows. */
  readonly after: string;
}

/** How an attempt of a recorded request ended. */
export interface OutcomeRecord {
  readonly type: 'outcome';
  readonly time_ms: number;
  readonly tenant_id: string;
  readonly request_id: string;
  readonly attempt: number;
  readonly provider_id: string;
  readonly state: 'succeeded' | 'failed' | 'timed_out' | 'cancelled';
  /** Execution code of a failure. */
  readonly code?: string | undefined;
  readonly latency_ms: number;
  readonly ttft_ms?: number | undefined;
  readonly output_tokens?: number | undefined;
}

/** How the copy of a request that a shadow got has ended; no decision and no estimate reads it. */
export interface ShadowRecord extends Omit<OutcomeRecord, 'type'> {
  readonly type: 'shadow';
  readonly cost_micro_usd?: number | undefined;
}

/** What an attempt of a request that is in experiments took, as it was metered by whichever router had its result. */
export interface UsageRecord {
  readonly type: 'usage';
  readonly time_ms: number;
  readonly tenant_id: string;
  readonly request_id: string;
  readonly policy_id: string;
  readonly attempt: number;
  readonly arms: readonly Arm[];
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cost_micro_usd: number;
  /** Nobody had counted it: what was measured replaces it. */
  readonly estimated?: true | undefined;
}

/** What is kept of a request. */
export type RequestRecord = DecisionRecord | AttemptRecord | OutcomeRecord | UsageRecord;

/** Writes down one decision. Runs on the request path, in the turn of the decision: later the snapshot says something else. */
export const recordOf = (
  policy: Policy,
  facts: Facts,
  snapshot: Snapshot,
  verdict: Verdict,
  epochMs: number,
): DecisionRecord => ({
  type: 'decision',
  time_ms: epochMs,
  tenant_id: facts.tenantId,
  policy_id: policy.policyId,
  revision: policy.revision,
  seed: seedOf(facts),
  attempt: snapshot.attempt,
  facts,
  snapshot: recordedSnapshotOf(policy, facts, snapshot),
  verdict: verdictOf(verdict),
});

export const verdictOf = (verdict: Verdict): RecordedVerdict =>
  verdict.kind === 'none'
    ? { kind: 'none', code: verdict.code }
    : {
        kind: 'chosen',
        provider_id: verdict.target.name,
        model: verdict.model,
        reason: verdict.reason,
        is_sticky: verdict.isSticky ? true : undefined,
        timeout_ms: verdict.timeoutMs,
        tags: verdict.tags.length === 0 ? undefined : verdict.tags,
        arms: verdict.arms.length === 0 ? undefined : verdict.arms,
        expected_latency_ms: verdict.expectedLatencyMs,
        expected_cost_micro_usd: verdict.expectedCostMicroUsd,
      };

/** What the decision knew, so that it can be made again. */
export const snapshotOf = ({ snapshot, attempt, facts }: DecisionRecord): Snapshot =>
  snapshotFrom(snapshot, attempt, facts.model);
