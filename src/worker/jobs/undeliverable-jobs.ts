// Assignments that cannot be delivered: kept as dead letters, and where one can be read its attempt ends (worker 4).
import type { Bus, Undeliverable } from '../../bus/bus.ts';
import { DeadLetters, type LetterSpill } from '../../bus/dead-letters.ts';
import { decode } from '../../contracts/codec.ts';
import { type ExecAssignment, execAssign } from '../../contracts/assignment.ts';
import { assignStream, workerAssignments } from '../../contracts/streams.ts';
import type { Timers } from '../../core/timers.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import { resultOf } from '../attempt-messages.ts';
import type { Reporter } from '../reporter.ts';
import type { WorkerSettings } from '../settings.ts';
import { type BegunDeps, begunElsewhere } from './begun-elsewhere.ts';

export interface UndeliverableDeps extends BegunDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly settings: WorkerSettings;
  readonly reporter: Reporter;
  /** Where dead letters wait that the bus refuses. */
  readonly spill?: LetterSpill | undefined;
}

/** Throws where the letter or the result was not stored: the assignment then comes again. */
export function undeliverableJobs(deps: UndeliverableDeps): (message: Undeliverable) => Promise<void> {
  const { bus, timers, telemetry, settings, reporter } = deps;
  const stream = assignStream(settings.pool);
  const consumer = workerAssignments(settings.pool);
  const letters = new DeadLetters({
    bus,
    clock: timers.clock,
    telemetry,
    producer: `worker@${settings.id}`,
    metric: { name: 'worker_deadletters_total', label: 'reason' },
    spill: deps.spill,
  });
  return async (message) => {
    await letters.open();
    await letters.give(message, { stream, consumer });
    const assignment = message.reason === 'exhausted' ? assignmentIn(message.body, telemetry.log) : undefined;
    if (assignment === undefined) return;
    const { clock } = timers;
    const facts = {
      assignment,
      attempt: assignment.attempt ?? 1,
      workerId: settings.id,
      isCommitted: false,
      latencyMs: 0,
      firstContentMs: undefined,
      epochMs: clock.epochMs(),
    };
    const begun = await begunElsewhere(assignment, deps);
    const failure = { code: 'DELIVERY_EXHAUSTED', message: `delivered ${message.count} times without an end` } as const;
    await reporter.append(resultOf(facts, { state: 'failed', failure, usage: begun?.usage }), {
      traceId: assignment.correlation?.trace_id ?? '-',
      tenantId: assignment.tenant_id,
    });
  };
}

function assignmentIn(body: Uint8Array, log: Log): ExecAssignment | undefined {
  try {
    return decode(execAssign.message, body);
  } catch (fault) {
    log.warn('job_exhausted_unreadable', { fault });
    return undefined;
  }
}
