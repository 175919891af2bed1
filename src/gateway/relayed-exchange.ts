// One request between the router that decides, the workers that try, and the one reader. Its invariants: relay.ts.
import { createHash } from 'node:crypto';
import type { Bus } from '../bus/bus.ts';
import type { CancelReason } from '../contracts/cancel.ts';
import type { Address } from '../contracts/contract.ts';
import type { DecideResponse } from '../contracts/decide.ts';
import type { EndFrame, frames, StreamFrame } from '../contracts/frames.ts';
import { ANSWER_BYTES_MAX } from '../contracts/limits.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { errorOfReply, errorOfFrame } from './bus-error.ts';
import { askRouter, requestOf, type TenantFacts } from './decide-client.ts';
import { FrameOrder } from './frame-order.ts';
import type { Exchange, Order, Reader, Routed } from './order.ts';

/** A gap in the frames that stays open this long is a lost worker (gateway 11.1). */
const GAP_MS = 1_000;
/** Wait before the router is asked again after nobody answered. */
const REASK_WAIT_MS = 100;
/** Least time left for asking again (gateway 1). */
const REASK_LEFT_MS = 300;

interface RelaySettings {
  readonly gatewayId: string;
  readonly decideTimeoutMs: number;
  readonly silenceMs: number;
}

export interface RelayDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly settings: RelaySettings;
  readonly tenantOf: (tenantId: string) => TenantFacts | undefined;
}

/** What an exchange needs of the relay that holds it. */
export interface RelayPort extends RelayDeps {
  cancelAttempt(order: Order, of: { assignmentId: string; attempt?: number }, reason: CancelReason): void;
  /** Takes the exchange in, and tells where its frames shall go: an address that is never used again. */
  enter(exchange: RelayedExchange): Entered;
  release(place: number): void;
}

/** The place of an exchange, and the id of its stream, which begins with the place. */
interface Entered {
  readonly place: number;
  readonly streamId: string;
  readonly deliverTo: Address<typeof frames>;
}

export class RelayedExchange implements Exchange {
  readonly #relay: RelayPort;
  readonly #order: Order;
  readonly #reader: Reader;
  readonly #entered: Entered;
  readonly #deadlineMs: number;
  /** One entry per assignment: the first, and that of a re-ask. */
  readonly #assignments: FrameOrder[] = [];
  #committed: FrameOrder | undefined;
  /** Of a whole answer that came in slices. */
  readonly #parts: string[] = [];
  #partChars = 0;
  #isReasked = false;
  /** Why whatever still works, or is decided late, is to stop; undefined until the exchange is over. */
  #over: CancelReason | undefined;
  #isDecided = false;
  #heardMs: number;
  #silenceMs: number;
  #timer: Timer | undefined;
  #dueMs = 0;
  readonly #routed: { -readonly [Name in keyof Routed]: Routed[Name] };

  constructor(relay: RelayPort, order: Order, reader: Reader) {
    this.#relay = relay;
    this.#order = order;
    this.#reader = reader;
    this.#entered = relay.enter(this);
    const nowMs = relay.timers.clock.nowMs();
    this.#heardMs = nowMs;
    this.#deadlineMs = nowMs + order.deadlineMs;
    this.#silenceMs = Math.min(relay.settings.decideTimeoutMs, relay.settings.silenceMs);
    this.#routed = {
      providerId: undefined,
      model: undefined,
      policyId: order.policyId,
      policyRevision: undefined,
      attempts: 0,
      costMicroUsd: undefined,
    };
    queueMicrotask(() => this.#ask());
  }

  get streamId(): string {
    return this.#entered.streamId;
  }

  get routed(): Routed {
    return this.#routed;
  }

  get #isOver(): boolean {
    return this.#over !== undefined;
  }

  cancel(reason: CancelReason): void {
    if (this.#isOver) return;
    this.#close(reason);
    this.#stopAll(reason);
  }

  frame(frame: StreamFrame): void {
    const nowMs = this.#relay.timers.clock.nowMs();
    this.#heardMs = nowMs;
    const order = this.#orderOf(frame);
    if (this.#committed !== undefined && this.#committed !== order) return this.#lostRace(frame);
    if (order.isEnded) return;
    if (!order.admit(frame, nowMs)) return order.gapSinceMs === undefined ? undefined : this.#gap(order);
    this.#read(order, frame);
    for (let held = order.next(); held !== undefined && !this.#isOver; held = order.next()) this.#read(order, held);
  }

  #read(order: FrameOrder, frame: StreamFrame): void {
    const reader = this.#reader;
    switch (frame.type) {
      case 'chunk':
        this.#commit(order);
        if (frame.part !== undefined) return this.#part(frame.part);
        return reader.chunk(frame.raw ?? JSON.stringify(frame.delta), frame.usage_only ?? false);
      case 'start':
        this.#routed.providerId = frame.provider_id;
        this.#routed.model = frame.model;
        this.#routed.attempts = Math.max(this.#routed.attempts, frame.attempt);
        return;
      case 'heartbeat':
        return;
      case 'end':
        this.#commit(order);
        this.#routed.costMicroUsd = frame.total_cost_micro_usd ?? frame.usage.cost_micro_usd;
        return this.#end(frame);
      case 'error':
        order.isEnded = true;
        return this.#isAlive() ? undefined : this.#fail(errorOfFrame(frame));
    }
  }

  /** Whether an assignment may still answer. */
  #isAlive(): boolean {
    if (this.#committed !== undefined) return !this.#committed.isEnded;
    return this.#assignments.some(({ isEnded }) => !isEnded);
  }

  /** A frame waits behind one that has not come. */
  #gap(order: FrameOrder): void {
    if (order.isOverfull) return this.#lose(order);
    this.#watch();
  }

  /** The worker of an assignment is lost; the request with it, unless another works. */
  #lose(order: FrameOrder): void {
    // A worker of this process answers a cancel before it returns.
    order.isEnded = true;
    this.#relay.cancelAttempt(this.#order, { assignmentId: order.assignmentId }, 'superseded');
    if (!this.#isAlive()) this.#lost();
  }

  /** A slice of an answer that is written in one piece, and so has to be here in full. */
  #part(part: string): void {
    this.#parts.push(part);
    this.#partChars += part.length;
    if (this.#partChars > ANSWER_BYTES_MAX) this.#broken();
  }

  #end(frame: EndFrame): void {
    if (frame.output_parts === undefined) {
      this.#close('lost_race');
      return this.#reader.end(frame);
    }
    const raw = this.#parts.join('');
    const isWhole = frame.output_parts === this.#parts.length && frame.output_sha256 === digestOf(raw);
    if (!isWhole) return this.#broken();
    this.#close('lost_race');
    this.#reader.end({ ...frame, raw });
  }

  #broken(): void {
    this.#giveUp('invalid_reply', 'the parts of the answer do not fit together', 'superseded');
  }

  #commit(order: FrameOrder): void {
    if (this.#committed !== undefined) return;
    this.#committed = order;
    for (const other of this.#assignments) if (other !== order) this.#stop(other, 'lost_race');
  }

  #stopAll(reason: CancelReason): void {
    for (const assignment of this.#assignments) this.#stop(assignment, reason);
  }

  #stop({ assignmentId, isEnded }: FrameOrder, reason: CancelReason): void {
    if (!isEnded) this.#relay.cancelAttempt(this.#order, { assignmentId }, reason);
  }

  /** A frame of another assignment after the commit: its attempt is told to stop, once per start or content. */
  #lostRace(frame: StreamFrame): void {
    if (frame.type !== 'start' && frame.type !== 'chunk') return;
    this.#relay.cancelAttempt(this.#order, { assignmentId: frame.assignment_id, attempt: frame.attempt }, 'lost_race');
  }

  #orderOf(frame: StreamFrame): FrameOrder {
    return this.#assignment(frame.assignment_id, frame.attempt);
  }

  #assignment(assignmentId: string, attempt: number): FrameOrder {
    for (const known of this.#assignments) if (known.assignmentId === assignmentId) return known;
    const order = new FrameOrder(assignmentId, attempt);
    this.#assignments.push(order);
    return order;
  }

  #ask(): void {
    if (this.#isOver) return;
    const { clock } = this.#relay.timers;
    const order = this.#order;
    const { deliverTo } = this.#entered;
    const timeLeftMs = this.#deadlineMs - clock.nowMs();
    const tenant = this.#relay.tenantOf(order.tenantId);
    const request = requestOf(order, { deliverTo, timeLeftMs, isReask: this.#isReasked, tenant });
    this.#watch();
    // The exchange watches the silence itself, so that frames without a decision count as an answer too.
    askRouter(this.#relay.bus, request, Math.min(timeLeftMs, this.#relay.settings.decideTimeoutMs)).then(
      (response) => this.#decided(response),
      (fault: unknown) => this.#undecided(BeamlineError.from(fault)),
    );
  }

  #decided(response: DecideResponse): void {
    const { assignment, decision, stream } = response;
    if (assignment !== undefined) {
      const known = this.#assignment(assignment.assignment_id, assignment.attempt);
      if (this.#committed !== undefined && this.#committed !== known) return this.#stop(known, 'lost_race');
      if (this.#over !== undefined && this.#committed === undefined) return this.#stop(known, this.#over);
    }
    if (this.#isOver) return;
    // The refusal of a re-ask says nothing of what works already; its silence is watched.
    if (!response.ok) return this.#isAlive() ? undefined : this.#fail(errorOfReply(response));
    this.#isDecided = true;
    this.#heardMs = this.#relay.timers.clock.nowMs();
    this.#silenceMs = stream?.silence_ms ?? this.#relay.settings.silenceMs;
    this.#routed.policyId = decision?.policy_id ?? this.#order.policyId;
    this.#routed.policyRevision = decision?.policy_revision;
    this.#routed.providerId ??= decision?.provider_id;
    this.#routed.model ??= decision?.model;
    this.#routed.attempts = Math.max(this.#routed.attempts, assignment?.attempt ?? 1);
    if (this.#heardMs + this.#silenceMs < this.#dueMs) this.#watch();
  }

  /** Nobody answered, the connection went, or the reply was unreadable. */
  #undecided(error: BeamlineError): void {
    // A reply that is late is watched as silence, see `#wake`.
    if (this.#isOver || this.#isAlive() || error.code === 'timeout') return;
    if (error.code !== 'unavailable' || !this.#mayReask()) return this.#fail(error);
    this.#isReasked = true;
    this.#relay.timers.after(REASK_WAIT_MS, () => this.#again());
  }

  #mayReask(): boolean {
    const leftMs = this.#deadlineMs - this.#relay.timers.clock.nowMs();
    return !this.#isReasked && this.#committed === undefined && leftMs >= REASK_LEFT_MS;
  }

  #again(): void {
    this.#heardMs = this.#relay.timers.clock.nowMs();
    this.#silenceMs = Math.min(this.#relay.settings.decideTimeoutMs, this.#relay.settings.silenceMs);
    this.#ask();
  }

  /** Wakes at the deadline, when the silence has lasted, or when a gap has been open too long. */
  #watch(): void {
    this.#timer?.cancel();
    this.#dueMs = Math.min(this.#deadlineMs, this.#heardMs + this.#silenceMs);
    for (const assignment of this.#assignments) {
      const sinceMs = this.#gapSince(assignment);
      if (sinceMs !== undefined) this.#dueMs = Math.min(this.#dueMs, sinceMs + GAP_MS);
    }
    this.#timer = this.#relay.timers.at(this.#dueMs, () => this.#wake());
  }

  /** Of an assignment that may still answer. */
  #gapSince(order: FrameOrder): number | undefined {
    const isWatched = !order.isEnded && (this.#committed ?? order) === order;
    return isWatched ? order.gapSinceMs : undefined;
  }

  #wake(): void {
    if (this.#isOver) return;
    const nowMs = this.#relay.timers.clock.nowMs();
    if (nowMs >= this.#deadlineMs) return this.#giveUp('timeout', 'the deadline has passed', 'deadline');
    for (const assignment of this.#assignments) {
      if (nowMs >= (this.#gapSince(assignment) ?? nowMs) + GAP_MS) this.#lose(assignment);
    }
    if (this.#isOver) return;
    if (nowMs < this.#heardMs + this.#silenceMs) return this.#watch();
    if (this.#mayReask()) {
      this.#isReasked = true;
      return this.#again();
    }
    if (this.#isDecided || this.#assignments.length > 0) return this.#lost();
    this.#giveUp('timeout', 'the router did not answer in time', 'deadline');
  }

  #lost(): void {
    this.#giveUp('worker_lost', 'the worker stopped answering', 'superseded');
  }

  #giveUp(code: 'timeout' | 'worker_lost' | 'invalid_reply', message: string, reason: CancelReason): void {
    if (this.#isOver) return;
    this.#close(reason);
    this.#stopAll(reason);
    this.#reader.fail(new BeamlineError(code, message));
  }

  #fail(error: BeamlineError): void {
    if (this.#isOver) return;
    this.#close('superseded');
    this.#reader.fail(error);
  }

  #close(reason: CancelReason): void {
    this.#over = reason;
    this.#timer?.cancel();
    this.#relay.release(this.#entered.place);
  }
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex');
