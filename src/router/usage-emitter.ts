// Takes each result from its stream: makes one usage event of it if something was consumed, which any router can from the
// result alone, and tells what it means for a job.
// U1. The result is acknowledged only after the stream confirmed the event; the ledger's key makes a repeat harmless.
// U2. And only after the job's state knows it. A call has no record, so its result reads none.
import type { Bus, Delivery, Subscription } from '../bus/bus.ts';
import type { DeadLetters } from '../bus/dead-letters.ts';
import { isJobAssignment } from '../contracts/job.ts';
import { type ExecResult, execResult } from '../contracts/result.ts';
import { resultStream, routerResults } from '../contracts/streams.ts';
import type { Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { held } from './held-result.ts';
import { type Consumed, usageEventOf } from './usage-event.ts';
import type { UsageSink } from './usage-sink.ts';

/** What jobs make of results. */
export interface JobResults {
  /** Throws `unavailable`, and may be repeated. */
  ended(result: ExecResult, assignmentId: string): Promise<void>;
  /** The assignment of a result that names only its request; undefined if that is no job. */
  assignmentOf(result: ExecResult): Promise<string | undefined>;
}

export interface UsageEmitterDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly sink: UsageSink;
  readonly jobs: JobResults;
  readonly deadLetters: DeadLetters;
}

export async function startUsageEmitter({
  bus,
  timers,
  telemetry,
  sink,
  jobs,
  deadLetters,
}: UsageEmitterDeps): Promise<Subscription> {
  await bus.ensureStream(resultStream);
  const take = async (delivery: Delivery<ExecResult>): Promise<void> => {
    const { message: result } = delivery;
    const assignmentId = result.assignment_id ?? (await jobs.assignmentOf(result));
    const consumed = consumedBy(result);
    if (consumed === undefined || assignmentId === undefined) sink.nothing();
    else {
      // A worker of version 1 may tell no moment.
      const timestamp = result.timestamp ?? delivery.storedAtMs;
      await sink.emit(usageEventOf(result, { assignmentId, usage: consumed, timestamp }));
    }
    if (assignmentId !== undefined && isJobAssignment(assignmentId)) await jobs.ended(result, assignmentId);
  };
  const from = { stream: resultStream, consumer: routerResults };
  const closing = new AbortController();
  const consuming = await bus.consume(
    { ...from, message: execResult.message, undeliverable: (message) => deadLetters.give(message, from) },
    (delivery) => held(delivery, take, { bus, timers, telemetry, signal: closing.signal }),
  );
  const drain = (): Promise<void> => {
    closing.abort();
    return consuming.drain();
  };
  return {
    get pending() {
      return consuming.pending;
    },
    drain,
    [Symbol.asyncDispose]: drain,
  };
}

/** What was counted; a worker of version 1 tells only what it cost, in USD. */
function consumedBy({ usage, cost = 0 }: ExecResult): Consumed | undefined {
  if (usage !== undefined || cost === 0) return usage;
  return { cost_micro_usd: Math.round(cost * 1e6) };
}
