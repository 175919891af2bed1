// The worker role: takes calls and jobs of its pool, runs them, and says what became of them.
import type { Bus, Subscription } from '../bus/bus.ts';
import type { LetterSpill } from '../bus/dead-letters.ts';
import { ExtensionResets } from '../bus/extension-resets.ts';
import { at } from '../contracts/contract.ts';
import { cancel } from '../contracts/cancel.ts';
import { execCall } from '../contracts/assignment.ts';
import { jobBucket } from '../contracts/job.ts';
import { resultStream } from '../contracts/streams.ts';
import { type CrashPoints, noCrash } from '../core/crash-point.ts';
import { newHex } from '../core/ids.ts';
import type { Role } from '../core/role.ts';
import type { Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { startBeats } from './beats.ts';
import { type Block, openBlocks } from './blocks/block.ts';
import { CancelMemory } from './cancel-memory.ts';
import { heartbeatOf, servingStatus } from './heartbeat.ts';
import { Intake } from './intake.ts';
import { attemptBucket, AttemptMarkers } from './jobs/attempt-markers.ts';
import type { JobBlobs } from './jobs/job-blobs.ts';
import type { FetchHold, JobFetch } from './jobs/job-fetch.ts';
import { JobIntake } from './jobs/job-intake.ts';
import { modelBlocks } from './jobs/model-blocks.ts';
import type { CostOf } from './metering.ts';
import type { Outbox } from './outbox.ts';
import { PostProcessors } from './post-processors.ts';
import { type NamedModels, ProviderMetrics } from './provider-metrics.ts';
import { measure, type Measured, OverloadWatch } from './overload-watch.ts';
import type { ProviderTarget } from './provider-sides.ts';
import { Reporter } from './reporter.ts';
import type { WorkerSettings } from './settings.ts';
import { slotLimits, Slots } from './slots.ts';
import { type WorkerHealth, workerChecks, workerState } from './worker-health.ts';
import { gaugeWorker, waitsOf } from './worker-metrics.ts';

/** Part of the shutdown time that is kept for flushing after the calls were abandoned. */
const FLUSH_MS = 1_000;

export interface WorkerDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly settings: WorkerSettings;
  readonly costOf: CostOf;
  /** The provider that runs an assignment, or undefined when this worker does not have it. */
  readonly target: (providerId: string, model: string) => ProviderTarget | undefined;
  /** Ids of the providers that this worker serves, for the heartbeat. */
  readonly providers: readonly string[];
  /** Models that metrics may name; absent: `other` for each provider. */
  readonly models?: NamedModels;
  /** Job types beside those that ask a model. */
  readonly blocks?: readonly Block[];
  /** Absent without a data directory; whoever opened it closes it. */
  readonly outbox?: Outbox | undefined;
  readonly crash?: CrashPoints | undefined;
  /** Where dead letters wait that the bus refuses. */
  readonly spill?: LetterSpill | undefined;
  /** Where what is too large for a message is kept and found; absent: it is refused. */
  readonly blobs?: JobBlobs;
  /** How far the clock of this machine is from the others'. */
  readonly clockSkewMs: () => number;
  /** The machine's load if absent. */
  readonly measured?: Measured;
  /** Aborted when a drain is to wait for nobody. */
  readonly hurry?: AbortSignal | undefined;
}

export async function startWorker(deps: WorkerDeps): Promise<Role> {
  const { bus, timers, settings, outbox } = deps;
  const log = deps.telemetry.log.for('worker');
  const shared = { ...deps, crash: deps.crash ?? noCrash, outbox, telemetry: { ...deps.telemetry, log } };
  const reporter = new Reporter(shared);
  const slots = openSlots(deps);
  const measured = deps.measured ?? measure(timers);
  const watch = new OverloadWatch({ timers, measured, queueShare: () => slots.io.queueShare });
  const cancelled = new CancelMemory(timers.clock);
  const posts = new PostProcessors(shared);
  const blocks = openBlocks([...modelBlocks({ ...deps, posts, limits: settings }), ...(deps.blocks ?? [])]);
  await bus.ensureStream(resultStream);
  const records = await bus.openBucket(jobBucket);
  // Of this start: a process that comes back is another one.
  const markers = new AttemptMarkers(await bus.openBucket(attemptBucket), `${settings.id}:${newHex(8)}`);
  // Before anything is taken: a worker that cannot open it starts nothing.
  const resets = await ExtensionResets.open({ bus, timers, log, reset: (extensionId) => posts.reset(extensionId) });

  const providerMetrics = new ProviderMetrics(deps.telemetry.metrics, deps.models ?? unnamed(deps.providers));
  const intake = new Intake({
    ...shared,
    providerMetrics,
    reporter,
    posts,
    slots: slots.io,
    cancelled,
    level: () => watch.level,
    hasOutboxRoom: () => outbox?.isFull !== true,
  });
  const jobs = new JobIntake({ ...shared, providerMetrics, reporter, slots, cancelled, blocks, records, markers });
  const calls = openCalls(deps, intake);
  const cancels = bus.subscribe(at(cancel), {}, (message) => void (jobs.cancel(message) || intake.cancel(message)));
  const jobTypes = [...blocks.keys()];
  const serving = () => servingStatus(watch.level, slots.io);
  const beats = startBeats({ bus, timers, log, everyMs: settings.heartbeat_ms, serving }, (status, cpuShare) =>
    heartbeatOf(status, { ...deps, slots, level: watch.level, jobTypes, cpuShare, clock: timers.clock }),
  );
  watch.begin((level, isChanged) => {
    holdIf(jobs.fetch, 'outbox', outbox?.isFull === true);
    if (!isChanged) return beats.look();
    log.warn('worker_load_changed', { worker_id: settings.id, state: level });
    void calls.be(level !== 'critical');
    holdIf(jobs.fetch, 'overload', level === 'critical' || level === 'overloaded');
    beats.beat();
  });
  const health: WorkerHealth = { ...deps, outbox, slots, fetch: jobs.fetch, load: watch };
  gaugeWorker(deps.telemetry.metrics, { slots, bus, level: () => watch.level });
  if (outbox === undefined) log.info('worker_without_outbox', { worker_id: settings.id });
  await jobs.begin();
  log.info('worker_ready', { worker_id: settings.id });

  let abandoned = 0;
  return {
    name: 'worker',
    get abandoned() {
      return abandoned;
    },
    checks: () => workerChecks(health),
    state: () => workerState(health),
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      beats.say('draining');
      await Promise.all([calls.be(false), jobs.fetch.hold('draining')]);
      const limitMs = Math.max(0, settings.shutdown.timeout_ms - FLUSH_MS);
      const cut = await Promise.all([intake.drain(limitMs, deps.hurry), jobs.drain(limitMs, deps.hurry)]);
      abandoned = cut.reduce((sum, one) => sum + one.abandoned, 0);
      if (abandoned > 0) log.warn('work_abandoned', { worker_id: settings.id, count: abandoned });
      await reporter.flush();
      beats.stop();
      await resets[Symbol.asyncDispose]();
      await cancels.drain();
    },
  };
}

const unnamed = (providers: readonly string[]): NamedModels => new Map(providers.map((id) => [id, []]));

const holdIf = (fetch: JobFetch, why: FetchHold, isHeld: boolean): void =>
  void (isHeld ? fetch.hold(why) : fetch.free(why));

function openSlots({ settings, timers, telemetry: { metrics } }: WorkerDeps): {
  readonly io: Slots;
  readonly cpu: Slots;
} {
  const { slots, queue, jobs_max_share: jobsMax, jobs_min_share: jobsMin, tenant_max_share: tenantMax } = settings;
  return {
    io: new Slots(slotLimits(slots.io, queue, { jobsMax, jobsMin, tenantMax }), timers, waitsOf(metrics, 'io')),
    // No call runs there, so that jobs need no share.
    cpu: new Slots(
      slotLimits(slots.cpu, queue, { jobsMax: 1, jobsMin: 0, tenantMax }),
      timers,
      waitsOf(metrics, 'cpu'),
    ),
  };
}

/** The queue group of calls, which a worker leaves while it is critical. */
function openCalls({ bus, settings }: WorkerDeps, intake: Intake): { be(isThere: boolean): Promise<void> } {
  const serve = (): Subscription =>
    bus.serve(
      at(execCall, { pool: settings.pool }),
      // A router waits for a refusal, to try elsewhere; after an acceptance it waits for the outcome.
      { queue: 'worker', urgencyOf: ({ status }) => (status === 'accepted' ? 'batched' : 'now') },
      (assignment) => intake.accept(assignment),
    );
  let calls: Subscription | undefined = serve();
  return {
    async be(isThere) {
      const left = calls;
      if (isThere) calls ??= serve();
      else {
        calls = undefined;
        await left?.drain();
      }
    },
  };
}
