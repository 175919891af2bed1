// A worker with jobs for tests: the memory bus, a manual clock, and a block that the test plays by hand.
import { Type } from 'typebox';
import type { Bus, Delivery, KeyValue } from '../../bus/bus.ts';
import { openMemoryBus } from '../../bus/memory.ts';
import { type ExecAssignment, execAssign, execAssignAck, type ExecAssignmentAck } from '../../contracts/assignment.ts';
import { cancel } from '../../contracts/cancel.ts';
import { at, payload } from '../../contracts/contract.ts';
import { FilledObject } from '../../contracts/fields.ts';
import { workerHeartbeat } from '../../contracts/heartbeat.ts';
import { jobBucket, jobKey, type JobState } from '../../contracts/job.ts';
import { type AttemptOutcome, attemptOutcome } from '../../contracts/outcome.ts';
import { type ExecResult, execResult } from '../../contracts/result.ts';
import { assignStream, resultStream, routerResults } from '../../contracts/streams.ts';
import { ManualClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import type { Block, BlockContext, BlockResult, Effect } from '../blocks/block.ts';
import type { WorkerSettings } from '../settings.ts';
import { startWorker, type WorkerDeps } from '../worker.ts';
import { attemptBucket } from './attempt-markers.ts';

export const START_MS = 1_790_000_000_000;

export const ASSIGNMENT: ExecAssignment = {
  version: '1',
  assignment_id: 'a-1',
  request_id: 'r-1',
  tenant_id: 'acme',
  attempt: 1,
  executor: { provider_id: 'worker', channel: 'nats', pool: 'default' },
  job: { type: 'test.hand', payload: { effect: 'none' } },
  options: { deadline_ms: 60_000 },
  correlation: { trace_id: 't-1' },
};

interface HandInput {
  readonly effect: Effect;
}

/** One execution of the block, ended by the test. */
export interface Execution {
  readonly input: HandInput;
  readonly context: BlockContext;
  readonly resolve: (result: BlockResult) => void;
  readonly reject: (fault: unknown) => void;
}

/** Runs until the test says so, or until it is aborted: then it fails with the reason. */
export function handBlock(executions: Execution[], more: Partial<Block<HandInput>> = {}): Block<HandInput> {
  return {
    type: 'test.hand',
    version: '1',
    class: 'io',
    scopes: [],
    effect: ({ effect }) => effect,
    input: payload('test.HandInput', '1', Type.Object({ effect: Type.Enum(['none', 'idempotent', 'external']) })),
    output: payload('test.HandOutput', '1', FilledObject),
    execute: (input, context) =>
      new Promise((resolve, reject) => {
        context.signal.addEventListener('abort', () => reject(context.signal.reason as Error));
        executions.push({ input, context, resolve, reject });
      }),
    ...more,
  };
}

export interface JobsOptions {
  readonly settings?: Partial<WorkerSettings>;
  readonly worker?: Partial<WorkerDeps>;
  /** Stands between the worker and the bus. */
  readonly through?: (bus: Bus) => Bus;
}

const SETTINGS: WorkerSettings = {
  id: 'w-1',
  pool: 'default',
  slots: { io: 4, cpu: 1 },
  queue: { max: 8, tenant_max: 8, call_wait_ms: 1_000 },
  jobs_max_share: 0.75,
  jobs_min_share: 0.25,
  tenant_max_share: 1,
  heartbeat_ms: 60_000,
  shutdown: { timeout_ms: 5_000 },
  frame_heartbeat_ms: 1_000,
  first_chunk_ms: 60_000,
  idle_ms: 60_000,
};

/** What a worker says, beside what it is asked. */
async function listen(bus: Bus) {
  const heard = {
    acks: [] as ExecAssignmentAck[],
    results: [] as ExecResult[],
    outcomes: [] as AttemptOutcome[],
    beats: [] as string[],
    /** Whether results are not acknowledged, as by a router that has not written what they mean. */
    keepsResults: false,
    kept: [] as Delivery<ExecResult>[],
  };
  bus.subscribe(at(execAssignAck), {}, (ack) => void heard.acks.push(ack));
  bus.subscribe(at(attemptOutcome), {}, (outcome) => void heard.outcomes.push(outcome));
  bus.subscribe(at(workerHeartbeat), {}, (beat) => void heard.beats.push(beat.overload_status ?? ''));
  await bus.ensureStream(resultStream);
  await bus.consume({ stream: resultStream, consumer: routerResults, message: execResult.message }, (delivery) => {
    heard.results.push(delivery.message);
    if (!heard.keepsResults) delivery.ack();
    else heard.kept.push(delivery);
  });
  return heard;
}

export async function openJobs({ settings = {}, worker: more = {}, through = (bus) => bus }: JobsOptions = {}) {
  const clock = new ManualClock(START_MS);
  const timers = new Timers(clock);
  const metrics = new Metrics();
  const lines: string[] = [];
  const telemetry = { log: openLog('info', { write: (line) => void lines.push(line) }), metrics };
  const bus = openMemoryBus({ timers, telemetry });
  const executions: Execution[] = [];
  const heard = await listen(bus);
  const measured = { lag: 0, memory: 0 };
  const start = (own: Partial<WorkerSettings> = {}, deps: Partial<WorkerDeps> = {}) =>
    startWorker({
      bus: through(bus),
      timers,
      telemetry,
      providers: [],
      target: () => undefined,
      clockSkewMs: () => 0,
      costOf: () => ({ costMicroUsd: 0, isUnpriced: true }),
      blocks: [handBlock(executions)],
      measured: {
        lagMs: () => measured.lag,
        memoryShare: () => measured.memory,
        [Symbol.dispose]: () => undefined,
      },
      ...more,
      ...deps,
      settings: { ...SETTINGS, ...settings, ...own },
    });
  const worker = await start();
  const records = await bus.openBucket(jobBucket);
  const markers = await bus.openBucket(attemptBucket);
  let published = 0;
  return {
    bus,
    timers,
    clock,
    metrics,
    executions,
    heard,
    lines,
    measured,
    worker,
    records,
    markers,
    /** Another worker on the same bus. */
    start,
    pass(ms: number): void {
      clock.advance(ms);
      timers.tick();
    },
    assign: (own: Partial<ExecAssignment> = {}): Promise<unknown> =>
      bus.append(at(execAssign), { ...ASSIGNMENT, ...own }, { ...APPEND, messageId: `m${published++}` }),
    cancel: (own: object = {}): void => bus.publish(at(cancel), { ...CANCEL, ...own }, APPEND.correlation),
    /** Assignments that nobody has acknowledged. */
    async unacknowledged(): Promise<number> {
      return (await bus.read(assignStream('default'), { fromSeq: 0, limit: 100 })).length;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await bus[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
    },
  };
}

const CANCEL = {
  version: '2',
  tenant_id: 'acme',
  assignment_id: 'a-1',
  requested_at_ms: 1,
  reason: 'client_cancel',
} as const;
const APPEND = { timeoutMs: 1_000, correlation: { traceId: 't-1', tenantId: 'acme' } };

/** What a router would have written. */
export async function writeState(records: KeyValue, more: Partial<JobState>): Promise<void> {
  const state: JobState = {
    version: '2',
    job_id: 'job_1',
    assignment_id: 'a-1',
    tenant_id: 'acme',
    status: 'queued',
    attempt: 1,
    attempts: [],
    cost_micro_usd: 0,
    transitions: [],
    created_at_ms: START_MS,
    updated_at_ms: START_MS,
    ...more,
  };
  await records.put(jobKey('acme', 'a-1', 'state'), JSON.stringify(state));
}

/** Lets everything run that needs no time. */
export const settled = async (): Promise<void> => {
  // eslint-disable-next-line no-await-in-loop -- some turns of the loop, one after the other
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
};
