// What a job has tried so far, as its record keeps it between attempts: the history that the policy asks for, what is
// to be tried next, and why. Written and read by routers only.
import type { JobState } from '../../contracts/job.ts';
import { executionRow } from '../../core/execution-errors.ts';
import { begun, type History } from '../../policy/history.ts';
import type { Policy, Target } from '../../policy/policy.ts';
import type { Failure } from '../../policy/status-words.ts';
import type { Marks } from '../assignment-of.ts';

/** A type, so that it is an open object. */
export type KeptTarget = { readonly name: string; readonly pool: string; readonly model?: string };

/** What the next attempt is: the same, a retry or an escalation by its item of the policy, or another draw. */
export type NextTry =
  | { readonly kind: 'same' }
  | { readonly kind: 'again'; readonly item: number }
  | {
      readonly kind: 'to';
      readonly target: KeptTarget;
      readonly reason: 'fallback' | 'escalated';
      readonly why?: string;
    }
  | { readonly kind: 'redraw' };

export type KeptFailure = {
  readonly code: string;
  readonly retryable: boolean;
  readonly detail_code?: string;
  readonly http_status?: number;
  readonly retry_after_ms?: number;
};

export type Kept = {
  readonly attempt: number;
  readonly counted: number;
  readonly current: KeptTarget;
  readonly reason: string;
  readonly priority: number;
  readonly failed: readonly string[];
  readonly tries: readonly (readonly [item: number, count: number])[];
  readonly failovers: number;
  readonly has_escalated: boolean;
  /** Repeats on another worker, which the policy does not count (worker 7). */
  readonly worker_tries: number;
  /** Of the attempt, in milliseconds. */
  readonly deadline_ms: number;
  /** Of the first decision; absent for most. */
  readonly marks?: Marks | undefined;
  /** Who sent it. */
  readonly router_id?: string;
  readonly next?: NextTry;
  readonly failure?: KeptFailure;
};

/** What a router of ours has written; undefined before the first attempt. */
export const keptIn = ({ history }: JobState): Kept | undefined =>
  // Only `keptOf` makes it, and only routers write states.
  history === undefined ? undefined : (history as Kept);

export function keptOf(
  history: History,
  more: Pick<Kept, 'reason' | 'priority' | 'worker_tries' | 'deadline_ms'> & Pick<Kept, 'marks' | 'next' | 'failure'>,
): Kept {
  return {
    ...more,
    attempt: history.attempt,
    counted: history.counted,
    current: keptTarget(history.current),
    failed: [...history.failed],
    tries: [...history.tries],
    failovers: history.failovers,
    has_escalated: history.hasEscalated,
  };
}

export const historyOf = (kept: Kept, policy: Policy): History => ({
  ...begun(targetOf(policy, kept.current)),
  attempt: kept.attempt,
  counted: kept.counted,
  failed: new Set(kept.failed),
  tries: new Map(kept.tries),
  failovers: kept.failovers,
  hasEscalated: kept.has_escalated,
});

export const keptTarget = ({ name, pool, model }: Target): KeptTarget =>
  model === undefined ? { name, pool } : { name, pool, model };

/** The policy's target of that name, sent what was kept; one that has left the policy is still known by what was kept. */
export function targetOf(policy: Policy, { name, pool, model }: KeptTarget): Target {
  const all = [
    ...policy.targets,
    ...policy.fallbacks.map(({ to }) => to),
    ...policy.escalations.map(({ to }) => to),
    ...(policy.canary === undefined ? [] : [policy.canary.to]),
  ];
  return { ...(all.find((target) => target.name === name) ?? bareTarget(name)), pool, model };
}

export const bareTarget = (name: string): Target => ({
  name,
  weight: 1,
  priority: 0,
  model: undefined,
  serves: undefined,
  pool: 'default',
  maxInFlight: undefined,
  labels: {},
  enabled: true,
  when: undefined,
});

export function keptFailure({ code, retryable, detailCode, httpStatus, retryAfterMs }: Failure): KeptFailure {
  return {
    code,
    retryable,
    ...(detailCode === undefined ? {} : { detail_code: detailCode }),
    ...(httpStatus === undefined ? {} : { http_status: httpStatus }),
    ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
  };
}

export const failureIn = ({ code, retryable, detail_code, http_status, retry_after_ms }: KeptFailure): Failure => ({
  code,
  class: executionRow(code).class,
  retryable,
  detailCode: detail_code,
  httpStatus: http_status,
  retryAfterMs: retry_after_ms,
  committed: false,
});
