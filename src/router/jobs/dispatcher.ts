// Puts attempts on the streams, at most a window of them per tenant and class of work, by turns between tenants (worker 5).
// D1. First the stream, then the state: an attempt that is stored twice under one id is one message.
// D2. What is due is read again before it is sent, so that two routers which have the same job send it once.
// D3. A job that cannot be sent now stays in its record, and is looked at again.
import type { PubAck } from '../../bus/bus.ts';
import type { ExecAssignment } from '../../contracts/assignment.ts';
import { isTerminal } from '../../contracts/job.ts';
import { SLOT_CLASSES, type SlotClass, slotClassOf } from '../../contracts/slot-class.ts';
import { BeamlineError, errorRow } from '../../core/errors.ts';
import { FairQueue } from '../../core/fair-queue.ts';
import { LiveMap } from '../../core/live-map.ts';
import type { Timers } from '../../core/timers.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import type { Shadows } from '../shadows.ts';
import type { Approvals } from './approvals.ts';
import type { Endings } from './endings.ts';
import { jobAssignmentOf } from './job-assignment.ts';
import { dueOf } from './job-due.ts';
import type { HeldAttempts } from './held-attempts.ts';
import type { JobCanaries } from './job-canaries.ts';
import type { JobPlaces } from './job-places.ts';
import { offerCopyOf } from './job-shadow.ts';
import { type Decided, type Go, type Planner, UNCLAIMED_MS } from './job-plan.ts';
import { begun, published } from './job-state.ts';
import type { FoundJob, JobRef, JobStore } from './job-store.ts';
import type { Keeper } from './keeper.ts';
import type { OrderStreams } from './order-streams.ts';
import type { Slots, Taking } from './slots.ts';
import { CLAIM_MS } from './unclaimed.ts';

/** Least window of a tenant. */
const WINDOW_MIN = 4;
/** Assignments on the streams for each slot of the fleet. */
const SLOT_SHARE = 2;
const PARALLEL_MAX = 64;
/** Jobs in line; the others stay in the bucket until a sweep finds them. */
const LINE_MAX = 100_000;
const AGAIN_MS = 2_000;
/** How long a decision of the acceptance is good. */
const FRESH_MS = 1_000;

export interface DispatcherDeps {
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly routerId: string;
  /** Assignments of one tenant on the streams; 0: by the slots of the fleet. */
  readonly windowSetting: number;
  readonly fleetSlots: (slotClass: SlotClass) => number;
  readonly store: JobStore;
  readonly streams: OrderStreams;
  readonly approvals: Approvals;
  readonly planner: Planner;
  readonly held: HeldAttempts;
  readonly canaries: JobCanaries;
  readonly shadows: Shadows;
  readonly places: JobPlaces;
  readonly keeper: Keeper;
  readonly slots: Slots;
  readonly endings: Endings;
}

/** A job in line, by class: a flood of one kind does not fill the windows of the other. `accepted` is what its acceptance knows, which is good for a moment. */
interface InLine extends Taking {
  readonly accepted?: { readonly found: FoundJob; readonly decided: Decided | undefined; readonly atMs: number };
}

/** `out`: an attempt is on its stream; `again`: something else is due; `left`: nothing now. */
type Sent = 'out' | 'again' | 'left';

export class Dispatcher {
  readonly #deps: DispatcherDeps;
  readonly #lines: Readonly<Record<SlotClass, FairQueue<InLine>>> = { io: new FairQueue(), cpu: new FairQueue() };
  /** Whose turn it is. */
  #turn = 0;
  readonly #inLine = new LiveMap<{ isMissed: boolean }>();
  #sending = 0;
  #isClosed = false;
  #whenIdle: (() => void) | undefined;

  constructor(deps: DispatcherDeps) {
    this.#deps = deps;
  }

  knows(assignmentId: string): boolean {
    return this.#inLine.has(assignmentId);
  }

  /** Lines the job up; one that is in line already, or for which there is no room, is left. */
  add(found: FoundJob, decided?: Decided, isNew = false): void {
    const { tenant_id: tenantId, assignment_id: assignmentId, request } = found.request;
    const known = this.#inLine.get(assignmentId);
    if (known !== undefined) known.isMissed = true;
    if (this.#isClosed || known !== undefined || this.#inLine.size >= LINE_MAX) return;
    const { clock } = this.#deps.timers;
    this.#inLine.set(assignmentId, { isMissed: false });
    const accepted = isNew ? { found, decided, atMs: clock.nowMs() } : undefined;
    const slotClass = slotClassOf(request.task.type);
    const weight = request.tenant?.weight ?? 1;
    const taking = { tenantId, assignmentId, slotClass, weight };
    const item: InLine = accepted === undefined ? taking : { ...taking, accepted };
    const order = { tenantId, weight, priority: request.options?.priority, nowMs: clock.nowMs() };
    this.#lines[slotClass].add(item, order);
    this.pump();
  }

  /** Sends what the windows have room for. */
  pump(): void {
    const { slots } = this.#deps;
    while (!this.#isClosed && this.#sending < PARALLEL_MAX) {
      const item = this.#next() ?? this.#next();
      if (item === undefined) return;
      slots.take(item);
      this.#sending++;
      void this.#one(item);
    }
  }

  /** Sends nothing more and waits for what is on its way. */
  async drain(): Promise<void> {
    this.#isClosed = true;
    if (this.#sending === 0) return;
    await new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  /** Of the class whose turn it is. */
  #next(): InLine | undefined {
    const slotClass = SLOT_CLASSES[this.#turn++ % SLOT_CLASSES.length] ?? 'io';
    const line = this.#lines[slotClass];
    if (line.size === 0) return undefined;
    const { windowSetting, fleetSlots, slots } = this.#deps;
    // Twice the slots of the fleet, shared by weight among the tenants that have work.
    const all = SLOT_SHARE * fleetSlots(slotClass);
    const weights = Math.max(1, slots.weightOf(slotClass), line.weight);
    const window = (weight: number): number =>
      windowSetting > 0 ? windowSetting : Math.max(WINDOW_MIN, Math.floor((all * weight) / weights));
    return line.next((tenantId, weight) => slots.of(tenantId, slotClass) < window(weight));
  }

  async #one(item: InLine): Promise<void> {
    const { slots, places, keeper, telemetry } = this.#deps;
    let sent: Sent = 'left';
    try {
      sent = await this.#dispatch(item);
    } catch (fault) {
      const { tenantId: tenant_id, assignmentId: assignment_id } = item;
      telemetry.log.warn('job_not_dispatched', { tenant_id, assignment_id, fault });
      keeper.wakeAt(item, this.#nowMs() + AGAIN_MS);
    } finally {
      const isMissed = this.#inLine.get(item.assignmentId)?.isMissed;
      this.#inLine.delete(item.assignmentId);
      this.#sending--;
      if (this.#sending === 0) this.#whenIdle?.();
      if (sent === 'again' || isMissed === true) keeper.look(item);
      if (sent !== 'out') slots.free(item.assignmentId);
      if (sent !== 'out') places.leave(item.assignmentId);
      this.pump();
    }
  }

  async #dispatch(item: InLine): Promise<Sent> {
    const { store, keeper, held, endings, approvals, places, timers } = this.#deps;
    const fresh = timers.clock.nowMs() - (item.accepted?.atMs ?? -Infinity) <= FRESH_MS ? item.accepted : undefined;
    const found = fresh?.found ?? (await store.read(item));
    if (found === undefined) return 'left';
    const due = dueOf(found.request, found.state, this.#nowMs()).kind;
    const asked = due === 'ask' ? (await approvals.read(item))?.asked : undefined;
    if (due !== 'dispatch' && asked?.verdict === undefined) return 'again';
    if (!places.enter(found)) return 'left';
    const { plan, budgets } = await held.plan(found, fresh?.decided);
    switch (plan.kind) {
      case 'wait':
        keeper.wakeAt(item, this.#nowMs() + plan.waitMs);
        places.wait(found, plan.policy);
        return 'left';
      case 'refused':
        await endings.give(item, 'failed', plan.error);
        return 'left';
      case 'go':
        return held.whileOut(found, { plan, budgets }, async () =>
          places.begin(found, plan) ? this.#send(item, found, plan, asked?.verdict) : 'left',
        );
    }
  }

  async #send(ref: JobRef, found: FoundJob, plan: Go, verdict: ExecAssignment['approval']): Promise<Sent> {
    const { streams, endings, planner, canaries, shadows, routerId } = this.#deps;
    const { attempt, policy } = plan;
    const priorCostMicroUsd = found.state?.cost_micro_usd ?? 0;
    const order = jobAssignmentOf(found.request, { attempt, policy, routerId, priorCostMicroUsd, verdict });
    // A worker may be faster than the answer of the stream.
    if (attempt.reason === 'canary') canaries.sent(ref.assignmentId, { attempt: attempt.attempt, policy });
    let ack: PubAck;
    try {
      ack = await streams.append(order, attempt.target.pool);
    } catch (thrown) {
      const { code, message } = BeamlineError.from(thrown);
      if (code !== 'payload_too_large') throw thrown;
      await endings.give(ref, 'failed', { code, message, retryable: errorRow(code).retry });
      return 'left';
    }
    planner.sent(found.request, plan);
    if (!ack.duplicate) offerCopyOf(found.request, plan, shadows);
    return this.#written(ref, found, plan, ack.seq);
  }

  async #written(ref: JobRef, known: FoundJob, { attempt, policy, kept }: Go, storedSeq: number): Promise<Sent> {
    const { store, keeper, endings, routerId } = this.#deps;
    const nowMs = this.#nowMs();
    const dueAtMs = Math.min(known.request.expires_at_ms, nowMs + kept.deadline_ms + UNCLAIMED_MS);
    const of = {
      attempt: attempt.attempt,
      providerId: attempt.target.name,
      model: attempt.model,
      pool: attempt.target.pool,
      reason: attempt.reason,
      storedSeq,
      dueAtMs,
      policy: { id: policy.policyId, revision: policy.revision },
      history: { ...kept, router_id: routerId },
    };
    const make = ({ request, state = begun(request) }: FoundJob) => published(state, of, nowMs);
    const changed = await store.change(ref, make, known);
    if (changed?.state === undefined) return 'left';
    if (changed.isChanged) {
      const due = dueOf(changed.request, changed.state, nowMs);
      keeper.wakeAt(ref, due.kind === 'wait' ? Math.min(due.untilMs, nowMs + CLAIM_MS) : nowMs);
      return 'out';
    }
    // Somebody was faster: another router with the same attempt, its result, or a cancel.
    if (!isTerminal(changed.state.status)) return 'again';
    endings.stop(ref, attempt.attempt, 'superseded');
    await endings.settle(ref, changed);
    return 'left';
  }

  #nowMs = (): number => this.#deps.timers.clock.epochMs();
}
