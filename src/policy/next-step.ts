// What follows a failed attempt (policy 7.1). The cases are asked in order and the first that applies decides.
// Case 2, a worker that was lost or had no room, belongs to the router: it repeats at once, and asks here when it gives up.
// N1. After the first chunk reached the caller no other attempt is started.
import { DEADLINE_MIN_MS } from '../contracts/limits.ts';
import type { ErrorCode } from '../core/errors.ts';
import { answerCode } from '../core/execution-errors.ts';
import { backoffMs, noSoonerThan } from './backoff.ts';
import type { Scope } from './condition.ts';
import { courseOf } from './course.ts';
import { draw } from './draw.ts';
import { escalationFor } from './escalation.ts';
import { type Facts, type Live, seedOf } from './facts.ts';
import { busyBy, removedBy } from './filters.ts';
import { allFailed, type History } from './history.ts';
import type { Course, Policy, Target } from './policy.ts';
import { scopeOf, type Standing } from './scope-of.ts';
import { type Failure, statusWords } from './status-words.ts';

export type Step =
  /** Answer with `code`. */
  | { readonly kind: 'end'; readonly code: ErrorCode }
  /** Wait, then the same provider; `item` is the fallback that asked for it. */
  | {
      readonly kind: 'again';
      readonly reason: 'retry';
      readonly target: Target;
      readonly waitMs: number;
      readonly item: number;
    }
  /** At once the provider of the escalation `item`; `why` is its author's reason. */
  | {
      readonly kind: 'to';
      readonly reason: 'escalated';
      readonly target: Target;
      readonly waitMs: 0;
      readonly item: number;
      readonly why: string | undefined;
    }
  /** Wait, then the fallback's provider. */
  | {
      readonly kind: 'to';
      readonly reason: 'fallback';
      readonly target: Target;
      readonly waitMs: number;
      readonly item: number;
    }
  /** Wait, then decide anew without the failed providers. */
  | { readonly kind: 'redraw'; readonly reason: 'failover'; readonly waitMs: number };

/** What is known when an attempt has failed. */
interface Moment {
  readonly policy: Policy;
  readonly facts: Facts;
  readonly history: History;
  readonly failure: Failure;
  readonly timeLeftMs: number;
  readonly live: Live;
  /** What the rules make of the next attempt. */
  readonly course: Course;
  readonly scope: Scope;
  /** The draw for the jitter of the next attempt's wait. */
  readonly chance: number;
}

/** Says what follows; the owning router carries it out and updates its history with `retried` or `moved`. */
export function nextStep(
  policy: Policy,
  facts: Facts,
  history: History,
  failure: Failure,
  timeLeftMs: number,
  live: Live = {},
): Step {
  const chance = draw(seedOf(facts), history.attempt + 1, 'backoff');
  const standing = standingOf(history, failure);
  const course = courseOf(policy, facts, live, standing);
  const scope = scopeOf(policy, facts, live, standing);
  const moment: Moment = { policy, facts, history, failure, timeLeftMs, live, course, scope, chance };
  if (isFinal(moment)) return { kind: 'end', code: endCode(failure, timeLeftMs) };
  if (course.rejection !== undefined) return { kind: 'end', code: course.rejection.code };
  const escalated = byEscalation(moment);
  if (escalated !== undefined) return escalated;
  // A validation failure would fail everywhere: only an escalation may follow it.
  const next = failure.class === 'validation' ? undefined : (byFallback(moment) ?? byFailover(moment));
  return next ?? { kind: 'end', code: endCode(failure, timeLeftMs) };
}

/** Cases 1 and 3. */
function isFinal({ policy, facts, history, failure, timeLeftMs }: Moment): boolean {
  const attemptsMax = Math.min(policy.retry.maxAttempts, facts.maxAttempts ?? policy.retry.maxAttempts);
  return (
    failure.committed || failure.class === 'cancelled' || timeLeftMs < DEADLINE_MIN_MS || history.counted >= attemptsMax
  );
}

const endCode = (failure: Failure, timeLeftMs: number): ErrorCode =>
  timeLeftMs <= 0 && failure.class !== 'cancelled' ? 'deadline_exceeded' : answerCode(failure.code, failure.detailCode);

/** Case 4. */
function byEscalation({ policy, facts, history, live, course, scope }: Moment): Step | undefined {
  const found = escalationFor(policy, facts, history, live, course, scope);
  if (found === undefined) return undefined;
  const { to: target, reason: why } = found.escalation;
  return { kind: 'to', reason: 'escalated', target, waitMs: 0, item: found.item, why };
}

/** Cases 5 and 6: the first fallback that holds and can be followed. */
function byFallback(moment: Moment): Step | undefined {
  const { policy, facts, history, failure, live, course, scope, chance } = moment;
  const failed = allFailed(history);
  for (const [item, fallback] of policy.fallbacks.entries()) {
    if (!fallback.holds(scope)) continue;
    const tries = history.tries.get(item) ?? 0;
    const waitMs = backoffMs(fallback.backoff, tries + 1, chance, facts.backoffMs);
    const sameMs = noSoonerThan(waitMs, failure.retryAfterMs);
    if (tries < fallback.retry && fits(moment, sameMs) && busyBy(history.current, facts, live, sameMs) === undefined) {
      return { kind: 'again', reason: 'retry', target: history.current, waitMs: sameMs, item };
    }
    if (fits(moment, waitMs) && removedBy(fallback.to, facts, failed, live, course) === undefined) {
      return { kind: 'to', reason: 'fallback', target: fallback.to, waitMs, item };
    }
  }
  return undefined;
}

/** Case 7. A provider that refuses our credential says nothing about the others. */
function byFailover(moment: Moment): Step | undefined {
  const { policy, facts, history, failure, chance } = moment;
  const isOpen = failure.retryable && policy.retry.on.has(failure.class);
  if (!isOpen && failure.code !== 'PROVIDER_AUTH_FAILED') return undefined;
  const waitMs = backoffMs(policy.retry.backoff, history.failovers + 1, chance, facts.backoffMs);
  return fits(moment, waitMs) ? { kind: 'redraw', reason: 'failover', waitMs } : undefined;
}

/** The attempt after the wait must still have the least time that an attempt may have. */
const fits = ({ timeLeftMs }: Moment, waitMs: number): boolean => waitMs + DEADLINE_MIN_MS <= timeLeftMs;

/** Where the request stands when its next attempt is decided. */
const standingOf = (history: History, failure: Failure): Standing => ({
  attempt: history.attempt + 1,
  failureWords: statusWords(failure),
  errorClass: failure.class,
  currentProvider: history.current.name,
});
