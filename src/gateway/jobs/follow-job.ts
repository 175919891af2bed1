// Tells each change of one job, in order and once, whether it comes by the watch or by a look of one's own.
import type { KeyValue } from '../../bus/bus.ts';
import { isTerminal, jobKey, type JobState, jobState } from '../../contracts/job.ts';
import type { Timers } from '../../core/timers.ts';
import { type JobRecord, readIfLegal } from './job-records.ts';
import type { JobWatch } from './job-watch.ts';

export interface FollowDeps {
  readonly jobs: KeyValue;
  readonly watch: JobWatch;
  readonly timers: Timers;
}

/** A watch may be broken for a while: everybody who waits also looks, this often. */
const LOOK_EVERY_MS = 15_000;

/** `hear` gets the state after `record`'s and each later one that changed the status; nothing after a terminal one. */
export function followJob(
  { jobs, watch, timers }: FollowDeps,
  { request: { tenant_id, assignment_id }, state }: JobRecord,
  hear: (state: JobState) => void,
): Disposable {
  const key = jobKey(tenant_id, assignment_id, 'state');
  let lastSeq = seqOf(state);
  let isOver = false;
  const take = (value: string): void => {
    const next = isOver ? undefined : readIfLegal(jobState, value);
    if (next === undefined || seqOf(next) <= lastSeq) return;
    lastSeq = seqOf(next);
    if (isTerminal(next.status)) close();
    hear(next);
  };
  const look = (): void => {
    // What cannot be read now is read the next time.
    void jobs.get(key).then(
      (entry) => entry !== undefined && take(entry.value),
      () => undefined,
    );
  };
  const heard = watch.on(key, (entry) => {
    if (!entry.deleted) take(entry.value);
  });
  let timer = timers.after(LOOK_EVERY_MS, function again() {
    look();
    timer = timers.after(LOOK_EVERY_MS, again);
  });
  function close(): void {
    if (isOver) return;
    isOver = true;
    timer.cancel();
    heard[Symbol.dispose]();
  }
  look();
  return { [Symbol.dispose]: close };
}

/** Number of the last change; 0 for a job without a state. */
export const seqOf = (state: JobState | undefined): number => state?.transitions.at(-1)?.seq ?? 0;
