// Everything that a worker says of its attempts: frames to the gateway, outcomes to every router, results to the stream.
// R1. Order at the end of an attempt: terminal frame, outcome, result (worker.md 3).
// R2. A result that the stream did not confirm within `RESULT_PATIENCE_MS` is counted and logged, never dropped silently.
import type { Bus } from '../bus/bus.ts';
import { type Address, at } from '../contracts/contract.ts';
import type { frames, StreamFrame } from '../contracts/frames.ts';
import type { Correlation } from '../contracts/headers.ts';
import { type AttemptOutcome, attemptOutcome } from '../contracts/outcome.ts';
import { type ExecResult, execResult } from '../contracts/result.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';

/** A publisher repeats an unconfirmed message for this long under one id (contracts 3.2). */
const RESULT_PATIENCE_MS = 20_000;

export class Reporter {
  readonly #bus: Bus;
  readonly #telemetry: Telemetry;
  readonly #outcomes = at(attemptOutcome);
  readonly #results = at(execResult);
  readonly #lost: Counter;
  #unconfirmed = 0;
  #whenConfirmed: (() => void) | undefined;

  constructor(bus: Bus, telemetry: Telemetry) {
    this.#bus = bus;
    this.#telemetry = telemetry;
    this.#lost = telemetry.metrics
      .counter({
        name: 'worker_results_lost_total',
        help: 'Results that the stream never confirmed.',
      })
      .of();
  }

  /** False when the frame could not leave: the gateway will miss it, so the call is broken. */
  frame(to: Address<typeof frames>, frame: StreamFrame, correlation?: Correlation): boolean {
    try {
      // Until the first content a caller has nothing to be told.
      this.#bus.publish(to, frame, correlation, frame.type === 'start' ? 'soon' : 'now');
      return true;
    } catch (fault) {
      this.#telemetry.log.warn('frame_not_sent', {
        assignment_id: frame.assignment_id,
        attempt: frame.attempt,
        fault,
      });
      return false;
    }
  }

  /** A hint that may be lost: without a connection it is. */
  outcome(outcome: AttemptOutcome, correlation: Correlation): void {
    try {
      // A router waits for a failure, to try again; a success is for the record.
      this.#bus.publish(this.#outcomes, outcome, correlation, outcome.state === 'succeeded' ? 'batched' : 'now');
    } catch (fault) {
      this.#telemetry.log.warn('outcome_not_sent', {
        assignment_id: outcome.assignment_id,
        attempt: outcome.attempt,
        fault,
      });
    }
  }

  result(result: ExecResult, correlation: Correlation): void {
    const messageId = `res:${result.tenant_id}:${result.assignment_id}:${result.attempt}`;
    this.#unconfirmed++;
    void this.#bus
      .append(this.#results, result, { messageId, timeoutMs: RESULT_PATIENCE_MS, correlation, urgency: 'batched' })
      .then(
        () => undefined,
        (fault: unknown) => {
          this.#lost.add();
          this.#telemetry.log.error('result_lost', {
            tenant_id: correlation.tenantId,
            trace_id: correlation.traceId,
            fault,
          });
        },
      )
      .then(() => {
        if (--this.#unconfirmed === 0) this.#whenConfirmed?.();
      });
  }

  /** Resolves when every result is confirmed or given up. */
  async flush(): Promise<void> {
    if (this.#unconfirmed === 0) return;
    await new Promise<void>((resolve) => {
      this.#whenConfirmed = resolve;
    });
  }
}
