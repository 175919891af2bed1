// What the cases of the conformance suite share: two processes on one bus, sample messages, waiting for conditions.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecAssignment, ExecAssignmentAck } from '../contracts/assignment.ts';
import type { WorkerHeartbeat } from '../contracts/heartbeat.ts';
import { systemClock } from '../core/clock.ts';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Bus } from './bus.ts';

export interface Opened extends AsyncDisposable {
  readonly bus: Bus;
  /** Another process on the same bus; in memory there is only one. */
  readonly peer: Bus;
  /** The metrics of `bus`, as text. */
  readonly metrics: () => string;
}

export type Case = readonly [name: string, run: (opened: Opened) => Promise<void>];

export interface Ground extends Disposable {
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly metrics: Metrics;
}

export function openGround(): Ground {
  const timers = new Timers(systemClock, { tickMs: 5 });
  const metrics = new Metrics();
  const log = openLog('silent', { write: () => undefined });
  return { timers, metrics, telemetry: { log, metrics }, [Symbol.dispose]: () => timers[Symbol.dispose]() };
}

const WAIT_MS = 15_000;

/** Waits for a condition; a test that waits too long fails with what it waited for. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  // eslint-disable-next-line no-await-in-loop -- waits for a condition
  while (!(await holds())) {
    if (performance.now() > endMs) assert.fail(`waited in vain: ${what}`);
    // eslint-disable-next-line no-await-in-loop -- as above
    await sleep(5);
  }
}

export async function refused(code: ErrorCode, work: Promise<unknown> | (() => unknown)): Promise<BeamlineError> {
  let fault: unknown;
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (thrown) {
    fault = thrown;
  }
  assert.ok(fault instanceof BeamlineError, `expected ${code}, got ${String(fault)}`);
  assert.equal(fault.code, code, fault.message);
  return fault;
}

export const correlation = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', tenantId: 'acme' };
export const within = (timeoutMs: number) => ({ timeoutMs, correlation });
export const soon = within(5_000);

export const assignment = (id: string, prompt = 'hello'): ExecAssignment => ({
  version: '1',
  assignment_id: id,
  request_id: 'req-1',
  tenant_id: 'acme',
  executor: { provider_id: 'simulated', channel: 'nats' },
  job: { type: 'chat', payload: { prompt } },
  options: { deadline_ms: 1_000 },
});

export const accepted = ({ assignment_id }: ExecAssignment): ExecAssignmentAck => ({
  version: '1',
  assignment_id,
  status: 'accepted',
});

export const heartbeat = (workerId: string): WorkerHeartbeat => ({
  version: '1',
  worker_id: workerId,
  timestamp: '2026-11-21T12:00:00.000Z',
  status: 'ready',
  resources: { cpu: 0, gpu: 0, mem_bytes: 0, jobs_in_flight: 0 },
});

/** A promise and what resolves it. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}
