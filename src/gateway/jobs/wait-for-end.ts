// Holds a call until its job has ended, for as long as the caller prefers to wait (gateway 15.1).
import { isTerminal } from '../../contracts/job.ts';
import type { Call } from '../call.ts';
import { followJob, type FollowDeps } from './follow-job.ts';
import { hasEnded, type JobRecord } from './job-records.ts';
import type { WaitingPlaces } from './waiting-places.ts';

export interface WaitDeps extends FollowDeps {
  readonly waits: WaitingPlaces;
  /** Aborted when the process begins to leave: nobody waits any longer. */
  readonly leaving: AbortSignal;
}

/** The record as it is at the end or after the time, and whether the wait could be granted at all. */
export async function waitForEnd(
  deps: WaitDeps,
  call: Call,
  record: JobRecord,
  waitS: number,
): Promise<{ readonly record: JobRecord; readonly isGranted: boolean }> {
  if (hasEnded(record) || call.isOver) return { record, isGranted: true };
  using place = deps.leaving.aborted ? undefined : deps.waits.take(call.tenantId);
  if (place === undefined) return { record, isGranted: false };
  let state = record.state;
  await new Promise<void>((resolve) => {
    const timer = deps.timers.after(waitS * 1_000, finish);
    deps.leaving.addEventListener('abort', finish);
    call.owner = {
      gone: finish,
      abort(error) {
        finish();
        call.fail(error, true);
      },
    };
    const following = followJob(deps, record, (next) => {
      state = next;
      if (isTerminal(next.status)) finish();
    });
    function finish(): void {
      timer.cancel();
      deps.leaving.removeEventListener('abort', finish);
      following[Symbol.dispose]();
      call.owner = undefined;
      resolve();
    }
  });
  return { record: { ...record, state }, isGranted: true };
}
