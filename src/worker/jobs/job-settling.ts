// The end of an attempt at a job: outbox, outcome, result, mark, acknowledgement, in this order (worker 4, steps 4 to 6).
// Each step may be the last before a crash: then the next process publishes again, which changes nothing.
import type { CrashPoints } from '../../core/crash-point.ts';
import type { Timers } from '../../core/timers.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import { type AttemptEnd, outcomeOf, resultOf } from '../attempt-messages.ts';
import type { Outbox, OutboxRecord } from '../outbox.ts';
import type { Published, Reporter } from '../reporter.ts';
import { type AttemptMarkers, attemptText } from './attempt-markers.ts';
import type { JobRun } from './job-run.ts';

export interface SettlingDeps {
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly settings: { readonly id: string };
  readonly reporter: Reporter;
  readonly outbox: Outbox | undefined;
  readonly markers: AttemptMarkers;
  readonly crash: CrashPoints;
}

/** `ended`: this worker did, before the stream confirmed the result, so that the delivery comes again. */
export async function settleJob(run: JobRun, end: AttemptEnd, deps: SettlingDeps): Promise<Published> {
  const { reporter, outbox, markers, crash, telemetry } = deps;
  const { clock } = deps.timers;
  const { assignment, key } = run;
  const facts = {
    assignment,
    attempt: key.attempt,
    workerId: deps.settings.id,
    isCommitted: false,
    latencyMs: Math.round(clock.nowMs() - run.receivedMs),
    firstContentMs: undefined,
    epochMs: clock.epochMs(),
  };
  const traceId = assignment.correlation?.trace_id ?? '-';
  const result = resultOf(facts, end);
  const record = await new Promise<OutboxRecord>((resolve) => {
    if (outbox === undefined) resolve({ id: 0, result, traceId });
    else outbox.put(result, traceId, resolve);
  });
  crash(4);
  reporter.outcome(outcomeOf(facts, end), { traceId, tenantId: key.tenantId });
  const published = await reporter.publish(record);
  if (published.kind === 'ended') return published;
  crash(5);
  if (run.hasMarker) {
    await markers.done(key).catch((fault: unknown) => {
      telemetry.log.warn('job_marker_not_closed', { ...run.logged, fault });
    });
  }
  crash(6);
  run.delivery.ack();
  outbox?.published(record, attemptText(key));
  return published;
}
