// Durable work in a router: what is accepted here, or found here, is brought to its one end.
//
//   acceptance -> dispatcher -> stream -> worker -> result -> endings -> (a wait) -> keeper -> tending -> dispatcher
//
// `job-state.ts`, `job-due.ts` and `job-follow.ts` decide; the others only do. The bucket knows everything, this memory
// only when to look (`sweep.ts` looks anyway), so a router may die at any step.
import type { Bus } from '../../bus/bus.ts';
import type { DeadLetters } from '../../bus/dead-letters.ts';
import { approvalBucket } from '../../contracts/approval.ts';
import { DEFAULT_POOL, execAssign, execAssignPool } from '../../contracts/assignment.ts';
import { at } from '../../contracts/contract.ts';
import { assignmentIdOf, isJobAssignment, jobBucket } from '../../contracts/job.ts';
import type { AttemptOutcome } from '../../contracts/outcome.ts';
import type { SlotClass } from '../../contracts/slot-class.ts';
import { assignStream } from '../../contracts/streams.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import type { Shadows } from '../shadows.ts';
import type { RateLimits } from '../rate-limits.ts';
import type { RouterSettings } from '../settings.ts';
import type { JobResults } from '../usage-emitter.ts';
import { Acceptance } from './acceptance.ts';
import { Acks } from './acks.ts';
import { Approvals } from './approvals.ts';
import { Dispatcher } from './dispatcher.ts';
import { Endings } from './endings.ts';
import { heardEnd } from './heard-end.ts';
import { jobAssignmentOf } from './job-assignment.ts';
import { JobCanaries } from './job-canaries.ts';
import { serveJobControl } from './job-control.ts';
import { declareMetrics } from './job-metrics.ts';
import { JobPlaces } from './job-places.ts';
import { Planner, type PlannerDeps } from './job-plan.ts';
import { JobRoom } from './job-room.ts';
import { type FoundJob, JobStore } from './job-store.ts';
import { HeldAttempts } from './held-attempts.ts';
import { Keeper } from './keeper.ts';
import { OrderStreams } from './order-streams.ts';
import { Outstanding } from './outstanding.ts';
import { Slots } from './slots.ts';
import { Sweep } from './sweep.ts';
import { tend } from './tending.ts';
import { Unclaimed } from './unclaimed.ts';

const HOUR_MS = 3_600_000;

export interface JobsDeps extends PlannerDeps {
  readonly bus: Bus;
  readonly telemetry: Telemetry;
  readonly settings: RouterSettings;
  /** Attempts that the workers of the default pool can run at once; 0 if nobody knows. */
  readonly fleetSlots: (slotClass: SlotClass) => number;
  /** Whether a worker is not heard any more. */
  readonly isSilent: (workerId: string) => boolean;
  readonly deadLetters: DeadLetters;
  readonly shadows: Shadows;
  readonly rateLimits: RateLimits;
}

export interface Jobs extends JobResults, AsyncDisposable {
  readonly acceptance: Acceptance;
  /** An attempt of whatever router has ended. */
  heard(outcome: AttemptOutcome): void;
}

export async function startJobs(deps: JobsDeps): Promise<Jobs> {
  const { bus, timers, telemetry, settings } = deps;
  const { id: routerId } = settings;
  await bus.ensureStream(assignStream(DEFAULT_POOL));
  const lifeMs = settings.jobs_retention_hours * HOUR_MS;
  const bucket = await bus.openBucket({ ...jobBucket, bytesMax: settings.jobs_bytes_max, ttlMs: lifeMs, isOwn: true });
  const store = new JobStore(bucket);
  const approvals = new Approvals(await bus.openBucket(approvalBucket));
  const planner = new Planner(deps);
  const held = new HeldAttempts({ timers, planner });
  const canaries = new JobCanaries(deps.live);
  const outstanding = new Outstanding();
  const metrics = declareMetrics(telemetry, outstanding);
  const slots: Slots = new Slots(() => dispatcher.pump());
  const keeper: Keeper = new Keeper({ timers, telemetry, onLook: (look) => tend(look, parts) });
  const onPoison = (job: FoundJob): Promise<void> => bury(job, planner, deps);
  const { rateLimits } = deps;
  const places = new JobPlaces({ timers, routerId, planner, keeper, rateLimits, live: deps.live });
  const streams = new OrderStreams(bus);
  const known = { store, streams, approvals, planner, keeper, slots, places, outstanding, metrics };
  const shared = { bus, timers, telemetry, routerId, ...known };
  const endings = new Endings({ ...shared, onPoison });
  const dispatcher: Dispatcher = new Dispatcher({
    ...shared,
    endings,
    held,
    canaries,
    shadows: deps.shadows,
    windowSetting: settings.dispatch_window,
    fleetSlots: deps.fleetSlots,
  });
  const unclaimed = new Unclaimed({ ...shared, isSilent: deps.isSilent });
  const parts = { timers, store, approvals, keeper, endings, dispatcher, places, unclaimed };
  const outstandingMax = settings.jobs_outstanding;
  const room = new JobRoom({ timers, outstanding, metrics, status: () => bucket.status() });
  const lifeMaxMs = Math.floor((lifeMs * 8) / 9);

  await using opened = new AsyncDisposableStack();
  opened.use(held);
  opened.use(places);
  opened.defer(() => dispatcher.drain());
  opened.use(keeper);
  const acks = opened.use(new Acks({ bus, timers, telemetry, store, keeper }));
  const isDispatching = (assignmentId: string): boolean => dispatcher.knows(assignmentId);
  const sweep = opened.use(new Sweep({ ...shared, sweepMs: settings.sweep_ms, isDispatching }));
  opened.use(serveJobControl({ bus, timers, store, approvals, endings, keeper, room }));
  await sweep.start();
  const started = opened.move();
  return {
    acceptance: new Acceptance({ ...shared, dispatcher, outstandingMax, room, lifeMaxMs }),
    async assignmentOf({ tenant_id: tenantId, request_id }) {
      if (request_id === undefined) return undefined;
      // The key of a job that was ordered without another.
      const assignmentId = assignmentIdOf(tenantId, request_id);
      return (await store.request({ tenantId, assignmentId })) === undefined ? undefined : assignmentId;
    },
    async ended(result, assignmentId) {
      if (!isJobAssignment(assignmentId)) return;
      acks.ended(assignmentId);
      await endings.attemptEnded({ tenantId: result.tenant_id, assignmentId }, heardEnd(result));
    },
    heard(outcome) {
      const { state, assignment_id } = outcome;
      held.heard(outcome);
      canaries.heard(outcome);
      places.heard(outcome);
      if (state !== 'committed') slots.free(assignment_id);
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

/** Keeps the work order that no worker survived among the dead letters, where somebody can look at it (worker 4). */
async function bury(job: FoundJob, planner: Planner, { deadLetters, settings, bus }: JobsDeps): Promise<void> {
  const { request, state } = job;
  const plan = planner.last(job);
  if (plan === undefined || state === undefined) return;
  const { attempt, policy } = plan;
  const order = jobAssignmentOf(request, {
    attempt,
    policy,
    routerId: settings.id,
    priorCostMicroUsd: state.cost_micro_usd,
    verdict: undefined,
  });
  const { pool } = attempt.target;
  const { subject } = pool === DEFAULT_POOL ? at(execAssign) : at(execAssignPool, { pool });
  if (bus.state === 'closed') return;
  await deadLetters.giveMessage(
    { subject, headers: {}, body: new TextEncoder().encode(JSON.stringify(order)) },
    { class: 'exhausted', code: 'WORKER_LOST', message: 'every worker that had it was lost', retryable: false },
  );
}
