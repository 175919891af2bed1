// Everything that a worker says of its attempts: frames to the gateway, outcomes to every router, results to the stream.
// R1. Order at the end of an attempt: the result into the outbox, terminal frame, outcome, result to the stream (worker 3).
// R2. A result that is in the outbox, or that a job waits for, is published until the stream has confirmed it. Without an
//     outbox the result of a call is given up after `RESULT_PATIENCE_MS`, counted and logged, never dropped silently.
import type { Bus, PubAck } from '../bus/bus.ts';
import { tryPublish } from '../bus/try-publish.ts';
import { type Address, at } from '../contracts/contract.ts';
import type { frames, StreamFrame } from '../contracts/frames.ts';
import type { Correlation } from '../contracts/headers.ts';
import { type AttemptOutcome, attemptOutcome } from '../contracts/outcome.ts';
import { type ExecResult, execResult, resultMessageId } from '../contracts/result.ts';
import { type CrashPoints, noCrash } from '../core/crash-point.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Outbox, OutboxRecord } from './outbox.ts';

/** A publisher repeats an unconfirmed message for this long under one id (contracts 3.2). */
const RESULT_PATIENCE_MS = 20_000;
/** Between two times of patience. */
const RESULT_PAUSE_MS = 1_000;

export interface ReporterDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  /** Undefined without a data directory. */
  readonly outbox: Outbox | undefined;
  readonly crash?: CrashPoints;
}

/** What is said at the end of a call. */
export interface Ending {
  readonly frame: StreamFrame | undefined;
  /** Undefined where nobody hears frames. */
  readonly to: Address<typeof frames> | undefined;
  readonly outcome: AttemptOutcome;
  /** Undefined for a call that never ran. */
  readonly result: ExecResult | undefined;
}

/** `refused`: it can never be sent, which is a fault of ours; `ended`: this worker ended first. */
export type Published = { readonly kind: 'confirmed'; readonly seq: number } | { readonly kind: 'refused' | 'ended' };

export class Reporter {
  readonly #deps: ReporterDeps;
  readonly #crash: CrashPoints;
  readonly #outcomes = at(attemptOutcome);
  readonly #results = at(execResult);
  readonly #lost: Counter;
  readonly #closing = new AbortController();
  #unconfirmed = 0;
  #whenConfirmed: (() => void) | undefined;

  constructor(deps: ReporterDeps) {
    this.#deps = deps;
    this.#crash = deps.crash ?? noCrash;
    this.#lost = deps.telemetry.metrics
      .counter({
        name: 'worker_results_lost_total',
        help: 'Results that the stream never confirmed.',
      })
      .of();
  }

  /** Why the frame could not leave: the gateway will miss it, so the call is broken. */
  frame(to: Address<typeof frames>, frame: StreamFrame, correlation?: Correlation): BeamlineError | undefined {
    // Until the first content a caller has nothing to be told.
    const fault = tryPublish(this.#deps.bus, to, frame, correlation, frame.type === 'start' ? 'soon' : 'now');
    if (fault !== undefined) {
      const { assignment_id, attempt } = frame;
      this.#deps.telemetry.log.warn('frame_not_sent', { assignment_id, attempt, fault });
    }
    return fault;
  }

  /** A hint that may be lost: without a connection it is. */
  outcome(outcome: AttemptOutcome, correlation: Correlation): void {
    // A router waits for a failure, to try again; a success is for the record.
    const urgency = outcome.state === 'succeeded' ? 'batched' : 'now';
    const fault = tryPublish(this.#deps.bus, this.#outcomes, outcome, correlation, urgency);
    if (fault !== undefined) {
      const { assignment_id, attempt } = outcome;
      this.#deps.telemetry.log.warn('outcome_not_sent', { assignment_id, attempt, fault });
    }
  }

  /** The end of a call, in the order of R1. */
  end(ending: Ending, correlation: Correlation): void {
    const { outbox } = this.#deps;
    const { result } = ending;
    if (outbox === undefined || result === undefined) {
      this.#say(ending, correlation);
      if (result !== undefined) this.#publishOnce(result, correlation);
      return;
    }
    this.#unconfirmed++;
    outbox.put(result, correlation.traceId, (record) => {
      this.#crash(9);
      this.#say(ending, correlation);
      void this.publish(record).then((published) => {
        if (published.kind !== 'ended') outbox.published(record);
        this.#settled();
      });
    });
  }

  /** Publishes until the stream has confirmed it; `askedBy` is the number of a message that asks for it again. */
  async publish(record: OutboxRecord, askedBy?: number): Promise<Published> {
    const { timers, telemetry } = this.#deps;
    const { signal } = this.#closing;
    const correlation = { traceId: record.traceId, tenantId: record.result.tenant_id };
    this.#unconfirmed++;
    try {
      for (;;) {
        try {
          // eslint-disable-next-line no-await-in-loop -- tries come one after the other
          const { seq } = await this.append(record.result, correlation, askedBy);
          return { kind: 'confirmed', seq };
        } catch (fault) {
          telemetry.log.warn('result_not_confirmed', { assignment_id: record.result.assignment_id, fault });
          if (!isTemporary(fault)) {
            this.#lost.add();
            return { kind: 'refused' };
          }
        }
        if (signal.aborted) return { kind: 'ended' };
        // eslint-disable-next-line no-await-in-loop -- as above
        await timers.sleep(RESULT_PAUSE_MS, signal).catch(() => undefined);
        if (signal.aborted) return { kind: 'ended' };
      }
    } finally {
      this.#settled();
    }
  }

  /** From now on no publication is tried again. */
  close(): void {
    this.#closing.abort();
  }

  /** Closes; resolves when every result is confirmed or given up. */
  async flush(): Promise<void> {
    this.close();
    if (this.#unconfirmed === 0) return;
    await new Promise<void>((resolve) => {
      this.#whenConfirmed = resolve;
    });
  }

  /** One time of patience; throws what the bus throws. */
  append(result: ExecResult, correlation: Correlation, askedBy?: number): Promise<PubAck> {
    return this.#deps.bus.append(this.#results, result, {
      messageId: resultMessageId(result, askedBy),
      timeoutMs: RESULT_PATIENCE_MS,
      correlation,
      urgency: 'batched',
    });
  }

  #say({ to, frame, outcome }: Ending, correlation: Correlation): void {
    if (frame !== undefined && to !== undefined) this.frame(to, frame, frame.seq === 0 ? correlation : undefined);
    this.outcome(outcome, correlation);
    if (frame !== undefined) this.#crash(10);
  }

  #publishOnce(result: ExecResult, correlation: Correlation): void {
    this.#unconfirmed++;
    void this.#appendPatiently(result, correlation)
      .then(
        () => undefined,
        (fault: unknown) => {
          this.#lost.add();
          this.#deps.telemetry.log.error('result_lost', {
            tenant_id: correlation.tenantId,
            trace_id: correlation.traceId,
            fault,
          });
        },
      )
      .then(() => this.#settled());
  }

  /** One time of patience also where the bus refuses at once, as a full stream does. */
  async #appendPatiently(result: ExecResult, correlation: Correlation): Promise<void> {
    const { timers } = this.#deps;
    const { signal } = this.#closing;
    const lastMs = timers.clock.nowMs() + RESULT_PATIENCE_MS - RESULT_PAUSE_MS;
    for (;;) {
      try {
        // eslint-disable-next-line no-await-in-loop -- tries come one after the other
        await this.append(result, correlation);
        return;
      } catch (fault) {
        if (!isTemporary(fault) || signal.aborted || timers.clock.nowMs() > lastMs) throw fault;
      }
      // eslint-disable-next-line no-await-in-loop -- as above
      await timers.sleep(RESULT_PAUSE_MS, signal).catch(() => undefined);
    }
  }

  #settled(): void {
    if (--this.#unconfirmed === 0) this.#whenConfirmed?.();
  }
}

const isTemporary = (fault: unknown): boolean =>
  fault instanceof BeamlineError && (fault.code === 'unavailable' || fault.code === 'timeout');
