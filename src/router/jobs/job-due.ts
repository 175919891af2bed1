// What is due for a job now, from its record alone: what a router does after a restart is what it would have done before.
import { isTerminal, type JobRequest, type JobState } from '../../contracts/job.ts';
import { attemptOut } from './job-state.ts';

/** Between clocks of machines (`CLOCK_SKEW`), and for a result that is on its way. */
const GRACE_MS = 2_000;
export const APPROVAL = 'human.approval';

export type Due =
  /** Take it from the open ones. */
  | { readonly kind: 'close' }
  | { readonly kind: 'expire' }
  /** The attempt that is out was not heard of in time. */
  | { readonly kind: 'lose' }
  /** A person decides before the first attempt. */
  | { readonly kind: 'ask' }
  | { readonly kind: 'dispatch' }
  | { readonly kind: 'wait'; readonly untilMs: number; readonly waitingFor?: 'run_at' };

export function dueOf({ request, expires_at_ms }: JobRequest, state: JobState | undefined, nowMs: number): Due {
  if (state !== undefined && isTerminal(state.status)) return { kind: 'close' };
  const out = state === undefined ? undefined : attemptOut(state);
  if (out !== undefined) {
    if (nowMs >= expires_at_ms + GRACE_MS) return { kind: 'expire' };
    if (nowMs >= out.due_at_ms + GRACE_MS) return { kind: 'lose' };
    return { kind: 'wait', untilMs: Math.min(out.due_at_ms, expires_at_ms) + GRACE_MS };
  }
  if (nowMs >= expires_at_ms) return { kind: 'expire' };
  const goesOnMs = state?.attempt === 0 || state === undefined ? request.job?.run_at_ms : state.next_at_ms;
  if (goesOnMs !== undefined && nowMs < goesOnMs) {
    const wait = { kind: 'wait', untilMs: Math.min(goesOnMs, expires_at_ms) } as const;
    return state === undefined || state.attempt === 0 ? { ...wait, waitingFor: 'run_at' } : wait;
  }
  return request.task.type === APPROVAL ? { kind: 'ask' } : { kind: 'dispatch' };
}
