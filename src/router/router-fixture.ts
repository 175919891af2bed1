// What the tests of a router share: one between a scripted worker and everybody who hears it, on a clock moved by hand.
import assert from 'node:assert/strict';
import type { Bus } from '../bus/bus.ts';
import { openMemoryBus } from '../bus/memory.ts';
import type { PriceBook } from '../catalog/price-book.ts';
import { type ExecAssignment, type ExecAssignmentAck, execCall } from '../contracts/assignment.ts';
import type { Budget } from '../contracts/budget.ts';
import { type Cancel, cancel } from '../contracts/cancel.ts';
import { at, everyOf } from '../contracts/contract.ts';
import { type DecideRequest, decideV2 } from '../contracts/decide.ts';
import { frames, type StreamFrame } from '../contracts/frames.ts';
import { type WorkerHeartbeat, workerHeartbeat } from '../contracts/heartbeat.ts';
import { type AttemptOutcome, attemptOutcome } from '../contracts/outcome.ts';
import { ManualClock } from '../core/clock.ts';
import type { Role } from '../core/role.ts';
import { Timers } from '../core/timers.ts';
import { builtInPolicy, parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import type { RouterShare } from '../policy/router-share.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import type { RequestRecord } from '../policy/decision-record.ts';
import { DecisionLog } from './decision-log.ts';
import type { DecisionRing } from './decision-ring.ts';
import { ExtensionRegistry } from './extension-registry.ts';
import type { Descriptor } from './extensions.ts';
import { openPolicies, type Policies } from './policies.ts';
import { startRouter } from './router.ts';

const JOBS = {
  dispatch_window: 0,
  jobs_outstanding: 100,
  sweep_ms: 30_000,
  jobs_bytes_max: 1e9,
  jobs_retention_hours: 216,
  budget_output_tokens: 100,
};

export const CORRELATION = { traceId: 't-1', tenantId: 'acme' };
const PROVIDERS = ['alder', 'birch', 'cedar'];

export function policyOf(document: object): Policy {
  const known = { knownProviders: new Set(PROVIDERS), tenantId: 'acme', policyId: 'test', revision: 7 };
  const parsed = parsePolicy({ version: '2.0', ...document }, known);
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

type Answer = 'accept' | 'absent' | Partial<ExecAssignmentAck>;

/** Frames, cancels and assignments that were sent; the worker answers by the script, and accepts when it is at its end. */
function listen(bus: Bus) {
  const heard = { frames: [] as StreamFrame[], pushed: [] as ExecAssignment[], cancels: [] as Cancel[] };
  const script: Answer[] = [];
  const late: (() => void)[] = [];
  bus.subscribe(everyOf(frames), {}, (frame) => void heard.frames.push(frame));
  bus.subscribe(at(cancel), {}, (message) => void heard.cancels.push(message));
  bus.serve(at(execCall, { pool: 'default' }), {}, (assignment) => {
    heard.pushed.push(assignment);
    const answer = script.shift() ?? 'accept';
    const ack = { assignment_id: assignment.assignment_id, status: 'accepted' as const, worker_id: 'w-1' };
    if (answer === 'absent') return new Promise<ExecAssignmentAck>((resolve) => late.push(() => resolve(ack)));
    return answer === 'accept' ? ack : { ...ack, ...answer };
  });
  return { heard, script, late };
}

export const policiesWith = (document: object): Policies =>
  openPolicies({
    tenants: new Set(['acme', 'umbra']),
    stored: [policyOf(document)],
    builtIns: [
      builtInPolicy(
        'default',
        PROVIDERS.map((name) => ({ name })),
      ),
    ],
  });

/** How the last assignment's attempt ended, unless told otherwise. */
const outcomeOf = (last: ExecAssignment, more: Partial<AttemptOutcome>): AttemptOutcome => ({
  version: '2',
  assignment_id: last.assignment_id,
  attempt: last.attempt ?? 1,
  request_id: last.request_id,
  tenant_id: last.tenant_id,
  provider_id: last.executor.provider_id,
  worker_id: 'w-1',
  latency_ms: 5,
  timestamp_ms: 1,
  state: 'failed',
  committed: false,
  ...more,
});

interface RouterOptions {
  readonly inFlightMax?: number;
  readonly extensions?: ReadonlyMap<string, Descriptor>;
  readonly prices?: PriceBook;
  readonly records?: DecisionRing;
  readonly routers?: () => RouterShare;
  readonly budgets?: readonly Budget[];
}

/** A router with the policy `test`, which requests name unless they say otherwise. */
export async function openRouter(document: object = { weights: { alder: 1 } }, options: RouterOptions = {}) {
  const { inFlightMax: in_flight_max = 100, extensions = new Map(), prices, records, routers: share } = options;
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const { heard, script, late } = listen(bus);
  const decisions = records && new DecisionLog({ sink: records, kept: records, timers, telemetry, sample: 1 });
  const policies = policiesWith(document);
  const times = { accept_wait_ms: 1_000, heartbeat_ms: 1_000, silence_ms: 3_000, worker_lost_ms: 3_000 };
  const routers: Role[] = [];
  const registries: ExtensionRegistry[] = [];
  /** Another router on the same bus. */
  const join = async (): Promise<void> => {
    const settings = { ...times, ...JOBS, id: `r-${routers.length + 1}`, in_flight_max, extensions_ms: 4_000 };
    const registry = await ExtensionRegistry.open({ bus, timers, log: telemetry.log, configured: extensions });
    registries.push(registry);
    const given = {
      registry,
      decisions,
      routers: share,
      ...(prices && { prices }),
      configuredBudgets: options.budgets,
    };
    const deps = { bus, timers, telemetry, policies, settings, ...given };
    routers.push(await startRouter(deps));
  };
  await join();
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 50) {
      clock.advance(Math.min(50, left));
      timers.tick();
    }
    await settled();
  };
  let asked = 0;
  /** Each a request of its own, unless told otherwise. */
  const decide = async (more: Partial<DecideRequest> = {}) => {
    const response = await bus.request(
      at(decideV2),
      { ...REQUEST, request_id: `rq-${++asked}`, ...more },
      { timeoutMs: 1_000, correlation: CORRELATION },
    );
    await settled();
    return response;
  };
  const outcome = async (more: Partial<AttemptOutcome>): Promise<void> => {
    const last = heard.pushed.at(-1);
    assert.ok(last);
    bus.publish(at(attemptOutcome), outcomeOf(last, more), CORRELATION);
    await settled();
  };
  const fail = (code: string, more: object = {}): Promise<void> =>
    outcome({ error: { class: 'unavailable', code, retryable: true, message: 'no', ...more } });
  const beat = (worker_id: string, more: Partial<WorkerHeartbeat> = {}): void =>
    bus.publish(at(workerHeartbeat), { ...HEARTBEAT, worker_id, ...more });
  const stop = async (): Promise<void> => {
    for (const answer of late) answer();
    let isStopped = false;
    const stopped = Promise.all(routers.map((router) => router[Symbol.asyncDispose]())).then(() => (isStopped = true));
    const wait = async (): Promise<unknown> => isStopped || pass(50).then(wait);
    await wait();
    await stopped;
    await Promise.all(registries.map((registry) => registry[Symbol.asyncDispose]()));
    await bus[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  };
  const providers = (): string[] => heard.pushed.map(({ executor }) => executor.provider_id);
  const { metrics } = telemetry;
  return { bus, clock, heard, script, metrics, decide, outcome, fail, pass, beat, join, stop, providers };
}

const HEARTBEAT: WorkerHeartbeat = {
  version: '1',
  worker_id: 'w-1',
  timestamp: '2026-11-21T10:00:00.000Z',
  status: 'ready',
  resources: { cpu: 0, gpu: 0, mem_bytes: 1, jobs_in_flight: 0 },
};

/** One line for each record of a request: which attempt, where it went, why, or how it ended. */
export const told = (ring: DecisionRing, requestId: string): readonly string[] =>
  [...ring.find('acme', requestId)].flatMap((step) => (step === undefined ? [] : [lineOf(step.entry)]));

function lineOf(entry: RequestRecord): string {
  switch (entry.type) {
    case 'decision': {
      const { verdict, attempt } = entry;
      return verdict.kind === 'none'
        ? `${attempt} ${verdict.code}`
        : `${attempt} ${verdict.reason} ${verdict.provider_id}`;
    }
    case 'attempt':
      return `${entry.attempt} ${entry.reason} ${entry.provider_id} after ${entry.after}${entry.why === undefined ? '' : `: ${entry.why}`}`;
    case 'usage':
      return `${entry.attempt} took ${entry.cost_micro_usd}`;
    case 'outcome':
      return `${entry.attempt} ${entry.state} ${entry.provider_id} ${entry.code ?? ''} ${entry.latency_ms} ms`;
  }
}

export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

export const REQUEST: DecideRequest = {
  version: '2',
  request_id: 'rq-1',
  tenant_id: 'acme',
  trace_id: 't-1',
  task: { type: 'ai.chat', model: 'small', payload: { messages: [] } },
  policy_id: 'test',
  push_assignment: true,
  stream: true,
  deliver_to: 'beamline.exec.v2.frames.gw.s1',
  deadline_ms: 30_000,
  dialect: 'openai.chat',
  principal: { key_id: 'key_1' },
};
