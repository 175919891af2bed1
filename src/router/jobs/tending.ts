// Does what is due for one job, whoever accepted it and whatever died before: the way of every wait, of a restart and of
// every adoption.
import { isTerminal } from '../../contracts/job.ts';
import type { Timers } from '../../core/timers.ts';
import type { Approvals } from './approvals.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Endings } from './endings.ts';
import { dueOf } from './job-due.ts';
import { begun, waits } from './job-state.ts';
import { type FoundJob, type JobRef, type JobStore, refOf } from './job-store.ts';
import type { JobPlaces } from './job-places.ts';
import type { Keeper, Look } from './keeper.ts';
import type { Unclaimed } from './unclaimed.ts';

/** An acceptance takes no longer between its two entries. */
const HALF_ACCEPTED_MS = 60_000;

export interface TendingDeps {
  readonly timers: Timers;
  readonly store: JobStore;
  readonly approvals: Approvals;
  readonly keeper: Keeper;
  readonly endings: Endings;
  readonly dispatcher: Dispatcher;
  readonly places: JobPlaces;
  readonly unclaimed: Unclaimed;
}

/** Throws `unavailable`. */
export async function tend(look: Look, deps: TendingDeps): Promise<void> {
  const { store, keeper, endings, dispatcher, places, unclaimed, timers } = deps;
  const found = await store.read(look);
  if (found === undefined) {
    places.waitNoMore(look.assignmentId);
    return forget(look, deps);
  }
  // What is due for less than the patience of the look is somebody else's.
  const nowMs = timers.clock.epochMs() - look.patienceMs;
  const due = dueOf(found.request, found.state, nowMs);
  if (due.kind !== 'dispatch' && due.kind !== 'ask') places.waitNoMore(look.assignmentId);
  switch (due.kind) {
    case 'close':
      return endings.settle(look, { ...found, isChanged: false });
    case 'expire':
      return endings.expire(look);
    case 'lose':
      return endings.lose(look);
    case 'wait':
      places.adopt(found);
      if (due.waitingFor !== undefined) await note(found, due.waitingFor, due.untilMs, deps);
      return keeper.wakeAt(look, Math.min(due.untilMs, await unclaimed.look(found)) + look.patienceMs);
    case 'ask':
      return ask(found, deps);
    case 'dispatch': {
      const { created_at_ms } = found.request;
      if (found.state === undefined && nowMs < created_at_ms) {
        return keeper.wakeAt(look, created_at_ms + look.patienceMs);
      }
      return dispatcher.add(found);
    }
  }
}

/** A job that is not there: deleted, or an acceptance that died between its two entries. */
async function forget(look: Look, { keeper, store, timers }: TendingDeps): Promise<void> {
  keeper.forget(look);
  const { openMs = Infinity } = look;
  if (openMs < timers.clock.epochMs() - HALF_ACCEPTED_MS) await store.close(look);
}

/** Asks, waits for the decision, or goes on with it. */
async function ask(found: FoundJob, deps: TendingDeps): Promise<void> {
  const { approvals, keeper, dispatcher, timers } = deps;
  const ref = refOf(found.request);
  const nowMs = timers.clock.epochMs();
  let asked = await approvals.ask(found.request);
  if (asked.status === 'pending' && nowMs >= asked.expires_at_ms) asked = (await approvals.expire(ref, nowMs)) ?? asked;
  if (asked.verdict !== undefined) return dispatcher.add(found);
  await note(found, 'approval', asked.expires_at_ms, deps);
  keeper.wakeAt(ref, Math.min(asked.expires_at_ms, found.request.expires_at_ms));
}

/** Writes what the job waits for, for those who look at it. */
async function note(
  { request }: FoundJob,
  waitingFor: 'run_at' | 'approval',
  untilMs: number,
  { store, timers }: TendingDeps,
): Promise<void> {
  const ref: JobRef = refOf(request);
  await store.change(ref, ({ state = begun(request) }) =>
    isTerminal(state.status) ? undefined : waits(state, waitingFor, untilMs, timers.clock.epochMs()),
  );
}
