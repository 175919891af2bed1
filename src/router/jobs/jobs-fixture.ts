// What the tests of jobs share: routers on one bus that can die, a scripted worker that speaks the real contracts, and a
// clock moved by hand.
import assert from 'node:assert/strict';
import type { Bus, Delivery } from '../../bus/bus.ts';
import { openMemoryBus } from '../../bus/memory.ts';
import type { PriceBook } from '../../catalog/price-book.ts';
import { type ExecAssignment, execAssign, execAssignAck } from '../../contracts/assignment.ts';
import type { Budget } from '../../contracts/budget.ts';
import { type Cancel, cancel } from '../../contracts/cancel.ts';
import { at } from '../../contracts/contract.ts';
import { type DecideRequest, type DecideResponse, decideV2 } from '../../contracts/decide.ts';
import { assignmentIdOf, jobBucket, jobKey, type JobRequest, type JobState, jobState } from '../../contracts/job.ts';
import { type JobCommand, jobControl, type JobOperation, type JobReply } from '../../contracts/job-control.ts';
import { type ExecResult, execResult } from '../../contracts/result.ts';
import { assignStream, usageStream, workerAssignments } from '../../contracts/streams.ts';
import { type UsageEvent, usageMetered } from '../../contracts/usage.ts';
import { ManualClock } from '../../core/clock.ts';
import { executionRow } from '../../core/execution-errors.ts';
import type { Role } from '../../core/role.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { DecisionLog } from '../decision-log.ts';
import type { DecisionRing } from '../decision-ring.ts';
import { ExtensionRegistry } from '../extension-registry.ts';
import type { Descriptor } from '../extensions.ts';
import { CORRELATION, policiesWith, settled } from '../router-fixture.ts';
import { startRouter } from '../router.ts';

export const START_MS = 1_790_000_000_000;
export const JOB_ID = 'job_01JD7ZPK2M4N6P8R0T2V4X6Z8B';
const LIFE_MS = 3_600_000;

/** `hold`: it says that it has the attempt, and the test ends it; `vanish`: the same, and nobody ever does; `miss`: no word. */
type Act = 'succeed' | 'hold' | 'vanish' | 'miss' | Partial<ExecResult>;

export const orderOf = (
  more: Partial<DecideRequest> = {},
  job: Partial<NonNullable<DecideRequest['job']>> = {},
): DecideRequest => {
  const id = job.id ?? JOB_ID;
  return {
    version: '2',
    request_id: 'rq-1',
    tenant_id: 'acme',
    trace_id: 't-1',
    task: { type: 'ai.chat', model: 'small', payload: { messages: [] } },
    policy_id: 'test',
    push_assignment: true,
    idempotency_key: id,
    principal: { key_id: 'key_1', user_id: 'ann' },
    ...more,
    job: { expires_at_ms: START_MS + LIFE_MS, ...job, id },
  };
};

const resultOf = (order: ExecAssignment, more: Partial<ExecResult>): ExecResult => ({
  version: '1',
  assignment_id: order.assignment_id,
  request_id: order.request_id,
  tenant_id: order.tenant_id,
  status: 'success',
  provider_id: order.executor.provider_id,
  job: { type: order.job.type, ...(order.metadata === undefined ? {} : { metadata: order.metadata }) },
  attempt: order.attempt ?? 1,
  worker_id: 'w-1',
  usage: { model: 'small', input_tokens: 3, output_tokens: 2, cost_micro_usd: 7 },
  ...more,
});

/** A failure as a worker reports it. */
/** A job as its record has it. */
export const jobRequestOf = (createdAtMs: number): JobRequest => ({
  version: '2',
  job_id: 'job_1',
  assignment_id: assignmentIdOf('acme', 'job_1'),
  tenant_id: 'acme',
  request: orderOf(),
  digest: '0'.repeat(64),
  router_id: 'r-1',
  created_at_ms: createdAtMs,
  expires_at_ms: createdAtMs + 100_000,
});

export const failure = (code: string, more: Partial<ExecResult> = {}): Partial<ExecResult> => ({
  status: 'error',
  error_code: code,
  error_message: 'no',
  error: { class: executionRow(code).class, retryable: executionRow(code).retryable },
  ...more,
});

interface Held {
  readonly order: ExecAssignment;
  finish(more?: Partial<ExecResult>): Promise<void>;
}

/** Takes every assignment of the default pool and acts by the script; at its end it succeeds. */
async function startWorker(bus: Bus) {
  const orders: ExecAssignment[] = [];
  const held: Held[] = [];
  const script: Act[] = [];
  const report = async (order: ExecAssignment, more: Partial<ExecResult> = {}): Promise<void> => {
    const result = resultOf(order, more);
    const messageId = `res:${order.tenant_id}:${order.assignment_id}:${order.attempt ?? 1}`;
    await bus.append(at(execResult), result, { messageId, timeoutMs: 1_000, correlation: CORRELATION });
  };
  const accept = ({ assignment_id, attempt = 1, tenant_id }: ExecAssignment): void =>
    bus.publish(at(execAssignAck), { assignment_id, attempt, tenant_id, status: 'accepted', worker_id: 'w-1' });
  const handle = async (delivery: Delivery<ExecAssignment>): Promise<void> => {
    const { message: order } = delivery;
    orders.push(order);
    const act = script.shift() ?? 'succeed';
    if (act === 'hold' || act === 'vanish') accept(order);
    if (act === 'hold') held.push({ order, finish: (more) => report(order, more) });
    else if (act === 'succeed') await report(order, { output: 'yes' });
    else if (typeof act === 'object') await report(order, act);
    delivery.ack();
  };
  const from = { stream: assignStream('default'), consumer: workerAssignments('default') };
  await bus.consume({ ...from, message: execAssign.message }, handle);
  return { orders, held, script, report };
}

export interface JobsOptions {
  readonly dispatch_window?: number;
  readonly jobs_outstanding?: number;
  readonly jobs_bytes_max?: number;
  /** Absent: nobody works. */
  readonly hasWorker?: boolean;
  readonly extensions?: ReadonlyMap<string, Descriptor>;
  readonly prices?: PriceBook;
  readonly records?: DecisionRing;
  readonly budgets?: readonly Budget[];
  /** Absent: one in memory. */
  readonly bus?: Bus;
  /** The source of its policies is out of reach. */
  readonly isStale?: boolean;
}

/** The bus, and a first router with the policy `test` unless told otherwise. */
export async function openJobs(document: object = { weights: { alder: 1 } }, options: JobsOptions = {}) {
  const { dispatch_window = 10, jobs_outstanding = 100, jobs_bytes_max = 1e9 } = options;
  const { hasWorker = true, extensions = new Map(), prices, records } = options;
  const clock = new ManualClock(START_MS);
  const timers = new Timers(clock);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = options.bus ?? openMemoryBus({ timers, telemetry });
  const decisions = records && new DecisionLog({ sink: records, kept: records, timers, telemetry, sample: 1 });
  const cancels: Cancel[] = [];
  bus.subscribe(at(cancel), {}, (message) => void cancels.push(message));
  const worker = hasWorker
    ? await startWorker(bus)
    : { orders: [], held: [], script: [], report: async () => undefined };
  const policies = { ...policiesWith(document), isStale: () => options.isStale === true };
  const routers: Role[] = [];
  const registries: ExtensionRegistry[] = [];
  const times = { accept_wait_ms: 1_000, heartbeat_ms: 1_000, silence_ms: 3_000, worker_lost_ms: 3_000 };

  const start = async (on: Bus = bus): Promise<Role> => {
    const bounds = { jobs_bytes_max, jobs_retention_hours: 216, budget_output_tokens: 100 };
    const jobs = { dispatch_window, jobs_outstanding, sweep_ms: 30_000, ...bounds };
    const id = `r-${routers.length + 1}`;
    const settings = { ...times, ...jobs, id, in_flight_max: 100, extensions_ms: 4_000 };
    const registry = await ExtensionRegistry.open({ bus, timers, log: telemetry.log, configured: extensions });
    registries.push(registry);
    const deps = { timers, telemetry, policies, settings, registry, decisions, ...(prices && { prices }) };
    const router = await startRouter({ ...deps, bus: on, configuredBudgets: options.budgets });
    if (on === bus) routers.push(router);
    return router;
  };
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 250) {
      clock.advance(Math.min(250, left));
      timers.tick();
      // eslint-disable-next-line no-await-in-loop -- what a step of the clock causes comes before the next one
      await rest();
    }
  };
  const ask = async (order: DecideRequest): Promise<DecideResponse> => {
    const response = await bus.request(at(decideV2), order, { timeoutMs: 2_000, correlation: CORRELATION });
    await rest();
    return response;
  };
  const stop = async (): Promise<void> => {
    const stopped = Promise.all(routers.map((router) => router[Symbol.asyncDispose]()));
    await pass(1_000);
    await stopped;
    await Promise.all(registries.map((registry) => registry[Symbol.asyncDispose]()));
    await bus[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  };
  const { metrics } = telemetry;
  const seen = await lookInto(bus);
  return { bus, clock, timers, cancels, ...worker, metrics, start, pass, ask, ...seen, stop };
}

/** What callers of the gateway would see, and ask for. */
async function lookInto(bus: Bus) {
  const bucket = await bus.openBucket(jobBucket);
  const control = async (op: JobOperation, more: Partial<JobCommand> = {}): Promise<JobReply> => {
    const command: JobCommand = { version: '2', request_id: 'rq-c', tenant_id: 'acme', job_id: JOB_ID, ...more };
    const reply = await bus.request(at(jobControl, { op }), command, { timeoutMs: 1_000, correlation: CORRELATION });
    await rest();
    return reply;
  };
  const state = async (jobId = JOB_ID, tenantId = 'acme'): Promise<JobState | undefined> => {
    const entry = await bucket.get(jobKey(tenantId, assignmentIdOf(tenantId, jobId), 'state'));
    if (entry === undefined) return undefined;
    const value: unknown = JSON.parse(entry.value);
    assert.ok(jobState.check(value), jobState.fault(value));
    return value;
  };
  const usage = async (): Promise<readonly UsageEvent[]> =>
    (await bus.read(usageStream, { fromSeq: 1, limit: 100 })).map(({ body }) => {
      const value: unknown = JSON.parse(new TextDecoder().decode(body));
      assert.ok(usageMetered.message.check(value));
      return value;
    });
  const open = async (): Promise<number> => (await bucket.entries()).filter(({ key }) => key.endsWith('.open')).length;
  return { bucket, control, state, usage, open };
}

/** Everything that can go on without the clock has gone on. */
export async function rest(): Promise<void> {
  // eslint-disable-next-line no-await-in-loop -- turns of the event loop come one after the other
  for (let turn = 0; turn < 8; turn++) await settled();
}
