// Attempts that a worker took and whose end nobody told: after a minute each is billed as an estimate (contracts 4.10).
// R1. The event has the attempt's own id, so that a result which comes after it adjusts it, and one that came before it
//     stands.
// R2. Only the router that pushed an attempt knows it. One that is killed takes what it knew along.
// What ends as it should costs nothing here: an attempt is added when its router lets go of it without having heard its end.
import type { PriceBook } from '../catalog/price-book.ts';
import type { ExecAssignment } from '../contracts/assignment.ts';
import type { Usage } from '../contracts/fields.ts';
import type { AttemptOutcome } from '../contracts/outcome.ts';
import type { ExecResult } from '../contracts/result.ts';
import type { UsageEvent } from '../contracts/usage.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import { usageEventOf } from './usage-event.ts';
import type { UsageSink } from './usage-sink.ts';

/** A result that comes later than this after the end of its attempt is late. */
const PATIENCE_MS = 60_000;
const LOOK_MS = 1_000;
/** Above it the oldest ones are not waited for. */
const KEPT_MAX = 10_000;

/** What the router knows of an end that its worker did not tell. */
export interface Unreported {
  readonly status: ExecResult['status'];
  readonly inputTokens: number;
  /** As many as the gateway passed on. */
  readonly outputTokens: number;
}

export interface UnreportedDeps {
  readonly timers: Timers;
  readonly log: Log;
  readonly sink: UsageSink;
  /** Absent: the ledger alone knows the cost. */
  readonly prices?: PriceBook | undefined;
}

interface Kept {
  readonly event: UsageEvent;
  readonly dueMs: number;
}

export class UnreportedAttempts implements AsyncDisposable {
  readonly #deps: UnreportedDeps;
  /** In the order in which they are due. */
  readonly #kept = new Map<string, Kept>();
  #timer: Timer | undefined;

  constructor(deps: UnreportedDeps) {
    this.#deps = deps;
  }

  add(assignment: ExecAssignment, end: Unreported): void {
    const { timers } = this.#deps;
    const dueMs = timers.clock.nowMs() + PATIENCE_MS;
    this.#kept.set(keyOf(assignment), { event: this.#eventOf(assignment, end), dueMs });
    if (this.#kept.size > KEPT_MAX) void this.#emit(({ size }) => size > KEPT_MAX);
    this.#timer ??= timers.after(LOOK_MS, () => this.#look());
  }

  /** Its worker tells the end, and reports it. */
  heard(outcome: AttemptOutcome): void {
    if (this.#kept.size > 0 && outcome.state !== 'committed') this.#kept.delete(keyOf(outcome));
  }

  /** A router that stops does not wait: what comes later adjusts. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.cancel();
    await this.#emit(() => true);
  }

  #look(): void {
    const nowMs = this.#deps.timers.clock.nowMs();
    void this.#emit((_, { dueMs }) => dueMs <= nowMs);
    this.#timer = this.#kept.size === 0 ? undefined : this.#deps.timers.after(LOOK_MS, () => this.#look());
  }

  /** The oldest ones, as long as they are to be. */
  async #emit(isTo: (kept: { readonly size: number }, oldest: Kept) => boolean): Promise<void> {
    const emitted: Promise<void>[] = [];
    for (const [key, kept] of this.#kept) {
      if (!isTo(this.#kept, kept)) break;
      this.#kept.delete(key);
      emitted.push(this.#send(kept.event));
    }
    await Promise.all(emitted);
  }

  async #send(event: UsageEvent): Promise<void> {
    const { tenant_id, assignment_id, attempt } = event;
    const { log, sink } = this.#deps;
    log.warn('attempt_unreported', { tenant_id, assignment_id, attempt });
    await sink.emit(event).catch((fault: unknown) => {
      log.error('attempt_not_billed', { tenant_id, assignment_id, attempt, fault });
    });
  }

  #eventOf(assignment: ExecAssignment, { status, inputTokens, outputTokens }: Unreported): UsageEvent {
    const { clock } = this.#deps.timers;
    const { assignment_id: assignmentId, request_id, tenant_id, attempt = 1, executor, job, correlation } = assignment;
    const { provider_id, model = '-' } = executor;
    const tokens = { inputTokens, outputTokens, cachedInputTokens: 0 };
    const cost = this.#deps.prices?.costOf(provider_id, model, tokens);
    const usage: Usage = {
      model,
      input_tokens: inputTokens,
      output_tokens: outputTokens,
      cost_micro_usd: cost?.costMicroUsd ?? 0,
      estimated: true,
    };
    if (cost?.isUnpriced !== false) usage.unpriced = true;
    const result: ExecResult = { assignment_id: assignmentId, request_id, tenant_id, status, provider_id, attempt };
    result.job =
      assignment.metadata === undefined ? { type: job.type } : { type: job.type, metadata: assignment.metadata };
    if (correlation?.trace_id !== undefined) result.trace_id = correlation.trace_id;
    return usageEventOf(result, { assignmentId, usage, timestamp: clock.epochMs() });
  }
}

const keyOf = (of: { readonly assignment_id: string; readonly attempt?: number }): string =>
  `${of.assignment_id}:${of.attempt ?? 1}`;
