// Takes durable assignments from the stream of a pool, runs them, and acknowledges each once its result is confirmed.
// T1. A delivery is acknowledged only after the stream has confirmed its result, or when it needs none (worker 4).
// T2. An attempt runs at most once at a time here; what is delivered again meanwhile only renews the ack wait.
// T3. A class whose jobs wait takes no room from the other: what finds its line full goes back, and comes again later.
// T4. What is given back before it began does not count against the limit of deliveries.
// T5. While the records of jobs cannot be read, or marks not be written, nothing is fetched: an outage does not use up the deliveries.
import type { Bus, Delivery, KeyValue } from '../../bus/bus.ts';
import type { LetterSpill } from '../../bus/dead-letters.ts';
import { tryPublish } from '../../bus/try-publish.ts';
import { type ExecAssignment, execAssignAck, type ExecAssignmentAck } from '../../contracts/assignment.ts';
import type { Cancel } from '../../contracts/cancel.ts';
import { at } from '../../contracts/contract.ts';
import { workerAssignments } from '../../contracts/streams.ts';
import { afterOrHurried } from '../../core/hurry.ts';
import type { SlotClass } from '../../contracts/slot-class.ts';
import { BeamlineError } from '../../core/errors.ts';
import { RecentNumbers } from '../../core/recent-numbers.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import type { AttemptEnd } from '../attempt-messages.ts';
import { attemptCounters } from '../attempt-metrics.ts';
import type { Block } from '../blocks/block.ts';
import type { CancelMemory } from '../cancel-memory.ts';
import { logRefusal } from '../log-refusal.ts';
import type { ProviderMetrics } from '../provider-metrics.ts';
import type { WorkerSettings } from '../settings.ts';
import type { Slots } from '../slots.ts';
import { type AttemptKey, attemptKeyOf, attemptText } from './attempt-markers.ts';
import { type Begun, begunElsewhere } from './begun-elsewhere.ts';
import { type JobBlobs, referredPayload } from './job-blobs.ts';
import { FinishedMarks } from './finished-marks.ts';
import { JobFetch } from './job-fetch.ts';
import { checkOrder } from './job-order-check.ts';
import { type Standing, standingOf } from './job-record.ts';
import { EXPIRED, JobRun, LOST, type RunEnd } from './job-run.ts';
import { type SettlingDeps, settleJob } from './job-settling.ts';
import { undeliverableJobs } from './undeliverable-jobs.ts';

/** Jobs of one class that may wait here, for each place and at least; others of it go back. */
const LINE_SHARE = 1 / 8;
const LINE_MIN = 1;
const CROWDED_MS = 1_000;
/** Attempts whose result is confirmed, and that are still known in case their acknowledgement was lost. */
const FINISHED_MAX = 10_000;
const TURNED_AWAY_MAX = 10_000;
/** Between two looks at a store that did not answer. */
const PROBE_MS = 1_000;
/** What is given back again and again waits longer each time, at most this. */
const GIVEN_BACK_MAX_MS = 4_000;

export interface JobIntakeDeps extends SettlingDeps {
  readonly bus: Bus;
  readonly settings: WorkerSettings;
  readonly blocks: ReadonlyMap<string, Block>;
  readonly slots: Readonly<Record<SlotClass, Slots>>;
  readonly cancelled: CancelMemory;
  readonly providerMetrics: ProviderMetrics;
  /** The records of jobs, which routers write. */
  readonly records: KeyValue;
  /** Where dead letters wait that the bus refuses. */
  readonly spill?: LetterSpill | undefined;
  /** Absent: what is too large for a message is refused. */
  readonly blobs?: JobBlobs | undefined;
}

export class JobIntake {
  readonly fetch: JobFetch;
  readonly #deps: JobIntakeDeps;
  readonly #runs = new Map<string, JobRun>();
  /** The highest attempt of an assignment that was confirmed here. */
  readonly #finished = new RecentNumbers(FINISHED_MAX);
  /** Deliveries of an attempt that did not begin because the store was away. */
  readonly #turnedAway = new RecentNumbers(TURNED_AWAY_MAX);
  readonly #marks: FinishedMarks;
  readonly #acks = at(execAssignAck);
  readonly #workingMs: number;
  readonly #counters: ReturnType<typeof declareMetrics>;
  #isProbing = false;
  #isDraining = false;
  #whenIdle: (() => void) | undefined;

  constructor(deps: JobIntakeDeps) {
    this.#deps = deps;
    this.#workingMs = workerAssignments(deps.settings.pool).ackWaitMs / 3;
    this.#counters = declareMetrics(deps.telemetry);
    this.#marks = new FinishedMarks({ ...deps, log: deps.telemetry.log, standing: this.#standing });
    this.fetch = new JobFetch({
      bus: deps.bus,
      log: deps.telemetry.log,
      pool: deps.settings.pool,
      pendingMax: roomFor(deps.slots.io) + roomFor(deps.slots.cpu),
      forgiven: (assignment) => this.#forgiven(attemptKeyOf(assignment)),
      handle: (delivery) => void this.#take(delivery).catch((fault: unknown) => this.#stumbled(delivery, fault)),
      undeliverable: undeliverableJobs(deps),
    });
  }

  /** Publishes what an earlier process left, and then fetches; resolves when that is on its way. */
  async begin(): Promise<void> {
    const { outbox, reporter } = this.#deps;
    const left = outbox?.takeLeft() ?? [];
    if (outbox === undefined || left.length === 0) return this.fetch.free('starting');
    void (async () => {
      for (const record of left) {
        const { tenant_id: tenantId, assignment_id: assignmentId = '', attempt = 1 } = record.result;
        // eslint-disable-next-line no-await-in-loop -- the oldest first
        if ((await reporter.publish(record)).kind === 'ended') return;
        outbox.published(record, attemptText({ tenantId, assignmentId, attempt }));
        this.#finished.replace(idOf(tenantId, assignmentId), attempt);
      }
      this.#deps.telemetry.log.info('outbox_emptied', { count: left.length });
      await this.fetch.free('starting');
    })();
  }

  /** Attempts that are here: waiting, running, or not yet confirmed. */
  get pending(): number {
    return this.#runs.size;
  }

  /** False when no job of that id is here. */
  cancel({ assignment_id: assignmentId, tenant_id: tenantId, attempt, reason }: Cancel): boolean {
    const run = this.#runs.get(idOf(tenantId, assignmentId));
    if (run === undefined || (attempt !== undefined && attempt !== run.key.attempt)) return false;
    this.#deps.telemetry.metrics
      .counter({ name: 'worker_cancels_total', help: 'Calls cancelled.', labels: ['reason'] })
      .of(reason)
      .add();
    run.cancel(reason);
    return true;
  }

  /** Fetches nothing new, gives back what did not start, and resolves when nothing is left; then `abandoned` were cut. */
  async drain(abandonAfterMs: number, hurry?: AbortSignal): Promise<{ readonly abandoned: number }> {
    this.#isDraining = true;
    using _ = this.#marks;
    await this.fetch.hold('draining');
    for (const run of this.#runs.values()) if (!run.isRunning) run.refuse();
    let abandoned = 0;
    if (this.#runs.size === 0) return { abandoned };
    const timer = afterOrHurried(this.#deps.timers, abandonAfterMs, hurry, () => {
      this.#deps.reporter.close();
      for (const run of this.#runs.values()) {
        if (!run.isRunning) continue;
        abandoned++;
        run.abandon();
      }
    });
    await new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
    timer.cancel();
    return { abandoned };
  }

  async #take(delivery: Delivery<ExecAssignment>): Promise<void> {
    const { message } = delivery;
    const id = idOf(message.tenant_id, message.assignment_id);
    const known = this.#runs.get(id);
    const attempt = message.attempt ?? 1;
    if (known?.key.attempt === attempt) {
      this.#counters.redelivered('running');
      known.delivery = delivery;
      return delivery.working();
    }
    // A router publishes attempt n + 1 only after the end of attempt n, or when it takes that one for lost.
    if (attempt <= (known?.key.attempt ?? this.#finished.get(id) ?? 0)) {
      const isMissed = known === undefined && delivery.count === 1;
      if (await this.#isOver(delivery, isMissed)) return;
    }
    known?.cancel('superseded');
    const { log } = this.#deps.telemetry;
    const run = new JobRun({ ...this.#deps, log, standing: this.#standing, onEnd: this.#onEnd }, delivery);
    this.#runs.set(id, run);
    this.#keepWorking(run);
    if (this.#isDraining) return run.refuse();
    if (delivery.count > 1) this.#counters.redelivered('taken');
    await this.#admit(run);
  }

  /**
   * What has ended here needs no work; its result is told again, in case it was lost. Where that is not at hand any more,
   * one that a router may miss is taken as if it were new.
   */
  async #isOver(delivery: Delivery<ExecAssignment>, isMissed: boolean): Promise<boolean> {
    const { outbox, reporter } = this.#deps;
    const record = outbox?.confirmed(attemptText(attemptKeyOf(delivery.message)));
    if (record === undefined && isMissed) return false;
    this.#counters.redelivered('finished');
    // Sent again by a router, which may miss the result; a delivery that comes again is of a message that was answered.
    const askedBy = delivery.count === 1 ? delivery.seq : undefined;
    if (record === undefined || (await reporter.publish(record, askedBy)).kind !== 'ended') delivery.ack();
    return true;
  }

  /** Whether as many of its class wait as may: more would keep those of the other class from being fetched. */
  #isCrowded({ tenantId }: JobRun, block: Block | undefined): boolean {
    const slots = block === undefined ? undefined : this.#deps.slots[block.class];
    return slots !== undefined && slots.queuedJobs >= lineOf(slots) && !slots.mayRunJob(tenantId);
  }

  readonly #standing = (key: AttemptKey): Promise<Standing> => standingOf(this.#deps.records, key);

  /** A fault of ours: somebody else may have more luck, and the delivery limit ends it. */
  #stumbled(delivery: Delivery<ExecAssignment>, fault: unknown): void {
    const { tenant_id, assignment_id } = delivery.message;
    this.#deps.telemetry.log.error('job_intake_failed', { tenant_id, assignment_id, fault });
    this.#runs.get(idOf(tenant_id, assignment_id))?.refuse();
    delivery.nak(PROBE_MS);
  }

  async #admit(run: JobRun): Promise<void> {
    const { assignment, key } = run;
    const { blocks, cancelled, slots, crash, blobs } = this.#deps;
    if (this.#isCrowded(run, blocks.get(assignment.job.type))) return run.finish(CROWDED);
    let input: unknown = assignment.job.payload;
    let standing: Standing;
    try {
      input ??= await referredPayload(assignment, blobs);
      standing = await this.#standing(key);
    } catch (fault) {
      return run.finish({ kind: 'unavailable', fault });
    }
    const checked = checkOrder(assignment, input, blocks);
    if (checked.kind === 'unfit') {
      this.#say(assignment, 'rejected', checked.reason);
      const { failure } = checked;
      return run.finish({ kind: 'reported', end: { state: 'failed', failure, usage: undefined } });
    }
    if (standing === 'over') return run.finish({ kind: 'dropped' });
    if (standing === 'given_up') return run.finish({ kind: 'given_up' });
    if (run.isExpired) return run.finish(EXPIRED);
    if (standing === 'cancelled' || cancelled.has(key.assignmentId, key.attempt)) run.cancel('client_cancel');
    if (run.hasEnded) return;
    if (this.#isCrowded(run, checked.block)) return run.finish(CROWDED);
    if (this.#deps.outbox?.isFull === true) {
      this.#say(assignment, 'rejected', 'queue_full');
      void this.fetch.hold('outbox');
      return run.finish({ kind: 'given_back', delayMs: PROBE_MS });
    }
    this.#say(assignment, 'accepted');
    crash(1);
    run.enter({ ...checked, slots: slots[checked.block.class] });
  }

  readonly #onEnd = (run: JobRun, end: RunEnd): void => {
    switch (end.kind) {
      case 'reported':
        return void this.#report(run, end.end);
      case 'given_up':
        return void this.#leave(run);
      case 'dropped':
        this.#counters.redelivered('over');
        run.delivery.ack();
        this.#marks.add(run.key, run.left);
        return this.#forget(run);
      case 'given_back':
        return void this.#giveBack(run, end.delayMs);
      case 'unavailable':
        this.#deps.telemetry.log.warn('job_store_unavailable', { ...run.logged, fault: end.fault });
        // A defect counts: its delivery limit is what ends it.
        if (BeamlineError.from(end.fault).code === 'unavailable')
          this.#turnedAway.replace(attemptText(run.key), this.#turnedAwayOf(run.key) + 1);
        run.delivery.nak(PROBE_MS);
        this.#probe();
        return this.#forget(run);
    }
  };

  /** Deliveries that do not count: those that were given back, and those that came while the store was away. */
  async #forgiven(key: AttemptKey): Promise<number> {
    return (await this.#deps.markers.givenBack(key)) + this.#turnedAwayOf(key);
  }

  #turnedAwayOf(key: AttemptKey): number {
    return this.#turnedAway.get(attemptText(key)) ?? 0;
  }

  /** What did not begin does not count against the limit of its deliveries; one that cannot be counted does. */
  async #giveBack(run: JobRun, delayMs: number): Promise<void> {
    const { markers, telemetry } = this.#deps;
    let waitMs = delayMs;
    if (run.startedMs === undefined) {
      try {
        const count = await markers.giveBack(run.key);
        if (delayMs > 0) waitMs = Math.min(GIVEN_BACK_MAX_MS, delayMs * 2 ** (count - 1));
      } catch (fault) {
        telemetry.log.warn('job_return_not_counted', { ...run.logged, fault });
      }
    }
    run.delivery.nak(waitMs);
    this.#forget(run);
  }

  async #report(run: JobRun, told: AttemptEnd): Promise<void> {
    let end = told;
    if (run.startedMs === undefined && !run.hasMarker) {
      const begun = await this.#begunElsewhere(run);
      if (begun === 'unknown') return;
      if (begun !== undefined) end = { ...told, usage: begun.usage };
    }
    this.#count(run, end);
    logRefusal(this.#deps.telemetry.log, run.assignment, end);
    if (end.state === 'failed' && end.failure.code === 'WORKER_LOST') this.#counters.lost.add();
    const published = await settleJob(run, end, this.#deps);
    if (published.kind !== 'ended') {
      this.#finished.replace(idOf(run.key.tenantId, run.key.assignmentId), run.key.attempt);
      this.#marks.add(run.key, run.left, published.kind === 'confirmed' ? published.seq : undefined);
    }
    this.#forget(run);
  }

  /** Routers wait for it no more: only what it may have consumed is told. */
  async #leave(run: JobRun): Promise<void> {
    const begun = await this.#begunElsewhere(run);
    if (begun === 'unknown') return;
    if (begun === undefined) return this.#onEnd(run, { kind: 'dropped' });
    return this.#report(run, { ...LOST, usage: begun.usage });
  }

  async #begunElsewhere(run: JobRun): Promise<Begun | undefined | 'unknown'> {
    try {
      const begun = await begunElsewhere(run.assignment, this.#deps);
      if (begun !== undefined) run.markFound();
      return begun;
    } catch (fault) {
      this.#onEnd(run, { kind: 'unavailable', fault });
      return 'unknown';
    }
  }

  #count({ assignment, receivedMs, startedMs }: JobRun, end: AttemptEnd): void {
    const nowMs = this.#deps.timers.clock.nowMs();
    const type = this.#deps.blocks.get(assignment.job.type)?.type ?? 'unknown';
    this.#counters.ended(type, end, (nowMs - receivedMs) / 1_000);
    const { provider_id: provider, model = '-' } = assignment.executor;
    this.#deps.providerMetrics.ended({
      provider,
      model,
      state: end.state,
      usage: end.usage,
      ranMs: startedMs === undefined ? undefined : nowMs - startedMs,
      firstChunkMs: undefined,
    });
  }

  #forget(run: JobRun): void {
    const id = idOf(run.key.tenantId, run.key.assignmentId);
    if (this.#runs.get(id) === run) this.#runs.delete(id);
    if (this.#runs.size === 0) this.#whenIdle?.();
  }

  /** Says at a third of the ack wait, again and again, that the delivery is not lost. */
  #keepWorking(run: JobRun): void {
    this.#deps.timers.after(this.#workingMs, () => {
      const id = idOf(run.key.tenantId, run.key.assignmentId);
      if (this.#runs.get(id) !== run) return;
      run.delivery.working();
      this.#keepWorking(run);
    });
  }

  #say(assignment: ExecAssignment, status: ExecAssignmentAck['status'], reason?: ExecAssignmentAck['reason']): void {
    const { bus, timers, settings, telemetry } = this.#deps;
    const ack: ExecAssignmentAck = {
      version: '1',
      assignment_id: assignment.assignment_id,
      status,
      request_id: assignment.request_id,
      tenant_id: assignment.tenant_id,
      acknowledged_at: timers.clock.epochMs(),
      attempt: assignment.attempt ?? 1,
      worker_id: settings.id,
    };
    if (reason !== undefined) ack.reason = reason;
    const traceId = assignment.correlation?.trace_id ?? '-';
    const fault = tryPublish(bus, this.#acks, ack, { traceId, tenantId: assignment.tenant_id }, 'batched');
    if (fault !== undefined) {
      // Advisory: the result tells the same.
      telemetry.log.debug('job_ack_not_sent', { assignment_id: assignment.assignment_id, fault });
    }
  }

  /** Fetches again once the store answers. */
  #probe(): void {
    if (this.#isProbing) return;
    this.#isProbing = true;
    void this.fetch.hold('store');
    const { timers, records, markers } = this.#deps;
    const look = (): void => {
      void Promise.all([records.get('probe'), markers.probe()]).then(
        () => {
          this.#isProbing = false;
          void this.fetch.free('store');
        },
        () => void (this.#isDraining || timers.after(PROBE_MS, look)),
      );
    };
    timers.after(PROBE_MS, look);
  }
}

const CROWDED: RunEnd = { kind: 'given_back', delayMs: CROWDED_MS };

const lineOf = (slots: Slots): number => Math.max(LINE_MIN, Math.floor(slots.jobsMax * LINE_SHARE));
/** What runs, and what waits. */
const roomFor = (slots: Slots): number => slots.jobsMax + lineOf(slots);

const idOf = (tenantId: string, assignmentId: string): string => `${tenantId}\n${assignmentId}`;

const declareMetrics = (telemetry: Telemetry) => {
  const { metrics } = telemetry;
  const ended = new Map<string, ReturnType<typeof attemptCounters>>();
  const redeliveries = metrics.counter({
    name: 'worker_redeliveries_total',
    help: 'Assignments that were delivered again, by what was found.',
    labels: ['outcome'],
  });
  return {
    /** The type is one of ours, never a caller's word. */
    ended(type: string, end: AttemptEnd, seconds: number): void {
      const counters = ended.get(type) ?? attemptCounters(telemetry, type, 'job');
      ended.set(type, counters);
      counters(end, seconds);
    },
    redelivered: (outcome: 'running' | 'finished' | 'over' | 'taken') => redeliveries.of(outcome).add(),
    lost: metrics
      .counter({ name: 'worker_lost_attempts_total', help: 'Attempts with an effect whose process was lost.' })
      .of(),
  };
};
