// What the record of a job says about an attempt at it; routers write it, workers only read.
import type { KeyValue } from '../../bus/bus.ts';
import type { Payload } from '../../contracts/contract.ts';
import { isTerminal, type JobAttempt, jobKey, jobRequest, jobState } from '../../contracts/job.ts';
import type { AttemptKey } from './attempt-markers.ts';

/**
 * `over`: the job is terminal, or done with this attempt; `given_up`: so it is, and nobody told how the attempt ended;
 * `cancelled`: somebody asked for its end.
 */
export type Standing = 'current' | 'over' | 'given_up' | 'cancelled';

/** Whether nobody is to run the attempt any more. */
export const isDoneWith = (standing: Standing): boolean => standing === 'over' || standing === 'given_up';

/** Throws `unavailable`. */
export async function standingOf(
  records: KeyValue,
  { tenantId, assignmentId, attempt }: AttemptKey,
): Promise<Standing> {
  const state = read(jobState, (await records.get(jobKey(tenantId, assignmentId, 'state')))?.value);
  if (state === undefined) return 'current';
  const own = state.attempts.findLast((one) => one.attempt === attempt);
  const isOver = own !== undefined && own.status !== 'published' && own.status !== 'running';
  if (isOver || isTerminal(state.status) || state.attempt > attempt) {
    // A job that was deleted may have left its state to one that was accepted under the same key later.
    const request = read(jobRequest, (await records.get(jobKey(tenantId, assignmentId, 'req')))?.value);
    if (request !== undefined && request.created_at_ms !== state.created_at_ms) return 'current';
    return isOver && isTold(own) ? 'over' : 'given_up';
  }
  return state.cancel === undefined ? 'current' : 'cancelled';
}

/** Routers write what an attempt cost when they have its result. */
const isTold = ({ status, cost_micro_usd: costMicroUsd }: JobAttempt): boolean =>
  status !== 'lost' && costMicroUsd !== undefined;

/** Undefined for what is not there or cannot be read: attempts are numbered, so that running it does no harm. */
function read<T>(shape: Payload<T>, text: string | undefined): T | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return shape.check(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
