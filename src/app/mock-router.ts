// A router that decides nothing: it answers decide v1 and v2 from a list, so that who builds a gateway or a client can
// test against the wire without the system. The bus reads requests and replies by their contracts, as it does for routers.
import type { Bus, Subscription } from '../bus/bus.ts';
import { addressIn, at } from '../contracts/contract.ts';
import {
  type DecideRequest,
  type DecideRequestV1,
  type DecideResponse,
  type DecideResponseV1,
  decideV1,
  decideV2,
} from '../contracts/decide.ts';
import { frames, type StreamFrame } from '../contracts/frames.ts';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import { newAssignmentId } from '../core/ids.ts';
import type { Timers } from '../core/timers.ts';

/** What stands in a fixture as a value of a field: one, or several of which one must be there. */
type Expected = string | number | boolean | readonly (string | number | boolean)[];

export interface MockDecision {
  readonly provider_id: string;
  readonly model?: string;
  readonly reason?: string;
  readonly priority?: number;
  readonly policy_id?: string;
  readonly policy_revision?: number;
  readonly fallback_used?: boolean;
  readonly expected_latency_ms?: number;
  /** v1 tells it in USD. */
  readonly expected_cost_micro_usd?: number;
}

/** One way to answer. */
export interface MockAnswer {
  readonly decision?: MockDecision;
  readonly error?: { readonly code: ErrorCode; readonly message?: string; readonly retry_after_ms?: number };
  /** The whole reply, for one version of the subject. */
  readonly reply?: Readonly<Record<string, unknown>>;
  /** No reply at all: the caller runs into its own timeout. */
  readonly silent?: true;
  readonly delay_ms?: number;
  /** What a worker would stream to `deliver_to`; ids, attempt and numbers are filled in. */
  readonly frames?: readonly Readonly<Record<string, unknown>>[];
}

export interface MockFixture extends MockAnswer {
  readonly name: string;
  /** Fields of the request by their path with dots, for example `task.type`; all must fit. */
  readonly match: Readonly<Record<string, Expected>>;
  /** Requests that it answers; absent means all. */
  readonly times?: number;
}

export interface MockFixtures {
  readonly answers: readonly MockFixture[];
  /** For requests that no fixture fits; absent: `not_found`. */
  readonly default?: MockAnswer;
}

export interface MockRouterDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly fixtures: MockFixtures;
  /** Told of every request that could be read. */
  readonly onRequest?: (told: {
    readonly subject: string;
    readonly requestId: string;
    readonly answer: string;
  }) => void;
}

/** Members of the group that real routers share, so that it can stand in for one of them. */
const QUEUE = 'router';
const UNMATCHED: MockAnswer = { error: { code: 'not_found', message: 'no fixture fits the request' } };
const HEARTBEAT_MS = 5_000;
const SILENCE_MS = 15_000;
const DEADLINE_MS = 60_000;
/** Longer than any request lives. */
const SILENT_MS = 3_600_000;

/** Serves both subjects until it is disposed. */
export async function startMockRouter(deps: MockRouterDeps): Promise<AsyncDisposable> {
  await using opened = new AsyncDisposableStack();
  const used = new Map<MockFixture, number>();
  const stopping = Promise.withResolvers<void>();
  const serve = <Q extends DecideRequestV1 | DecideRequest, R>(
    subject: string,
    request: Q,
    make: (answer: MockAnswer) => R,
  ): Promise<R> => answered({ deps, used, subject, request, make, stopped: stopping.promise });
  const own = <S extends Subscription>(subscription: S): S => opened.use(subscription);
  own(
    deps.bus.serve(at(decideV1), { queue: QUEUE }, (request) =>
      serve(decideV1.template, request, (answer) => replyV1(answer, request)),
    ),
  );
  own(
    deps.bus.serve(at(decideV2), { queue: QUEUE }, (request) =>
      serve(decideV2.template, request, (answer) => replyV2(deps, answer, request)),
    ),
  );
  opened.defer(() => stopping.resolve());
  await deps.bus.flush();
  const live = opened.move();
  return { [Symbol.asyncDispose]: () => live.disposeAsync() };
}

interface Asked<R> {
  readonly deps: MockRouterDeps;
  readonly used: Map<MockFixture, number>;
  readonly subject: string;
  readonly request: DecideRequestV1 | DecideRequest;
  readonly make: (answer: MockAnswer) => R;
  /** Resolves when the router ends: it waits for those who are being answered. */
  readonly stopped: Promise<void>;
}

async function answered<R>({ deps, used, subject, request, make, stopped }: Asked<R>): Promise<R> {
  const { answers, default: otherwise = UNMATCHED } = deps.fixtures;
  const fixture = answers.find((one) => (used.get(one) ?? 0) < (one.times ?? Infinity) && fits(one, request));
  if (fixture !== undefined) used.set(fixture, (used.get(fixture) ?? 0) + 1);
  const answer = fixture ?? otherwise;
  deps.onRequest?.({ subject, requestId: request.request_id, answer: fixture?.name ?? 'default' });
  if (answer.delay_ms !== undefined) await waited(deps.timers, answer.delay_ms);
  // Whoever asked has long gone when this is answered.
  if (answer.silent === true) {
    await Promise.race([waited(deps.timers, SILENT_MS), stopped]);
    throw new BeamlineError('timeout', 'the fixture is silent');
  }
  const { error } = answer;
  if (error === undefined) return make(answer);
  const { code, message = code, retry_after_ms: retryAfterMs } = error;
  throw new BeamlineError(code, message, retryAfterMs === undefined ? {} : { retryAfterMs });
}

const waited = (timers: Timers, ms: number): Promise<void> =>
  new Promise((resolve) => void timers.after(ms, () => resolve()));

function fits({ match }: MockFixture, request: unknown): boolean {
  return Object.entries(match).every(([path, expected]) => {
    let at: unknown = request;
    for (const name of path.split('.')) {
      at = typeof at === 'object' && at !== null ? (at as Readonly<Record<string, unknown>>)[name] : undefined;
    }
    return (Array.isArray(expected) ? expected : [expected]).includes(at);
  });
}

const DECISION = { reason: 'weighted', priority: 50, policy_id: 'default', policy_revision: 1, fallback_used: false };

const contextOf = ({ request_id, trace_id }: DecideRequestV1 | DecideRequest) => ({
  request_id,
  ...(trace_id === undefined ? {} : { trace_id }),
});

function replyV1({ decision, reply }: MockAnswer, request: DecideRequestV1): DecideResponseV1 {
  // The bus refuses to send what its contract does not allow.
  if (reply !== undefined) return { ...(reply as DecideResponseV1), context: contextOf(request) };
  const {
    model: _onlyV2,
    expected_cost_micro_usd: cost = 0,
    expected_latency_ms: latency = 0,
    ...given
  } = chosen(decision);
  return {
    ok: true,
    decision: { ...given, expected_latency_ms: latency, expected_cost: cost / 1e6, metadata: {} },
    context: contextOf(request),
  };
}

function replyV2(deps: MockRouterDeps, answer: MockAnswer, request: DecideRequest): DecideResponse {
  const context = { ...contextOf(request), tenant_id: request.tenant_id };
  if (answer.reply !== undefined) return { ...(answer.reply as DecideResponse), context };
  const response: DecideResponse = { version: '2', ok: true, decision: chosen(answer.decision), context };
  if (request.push_assignment !== true) return response;
  const { deliver_to: deliverTo } = request;
  const assignmentId = newAssignmentId();
  response.assignment = {
    assignment_id: assignmentId,
    attempt: 1,
    subject: deliverTo === undefined ? 'caf.exec.assign.v1' : 'caf.exec.call.v2.default',
    deadline_ms: request.deadline_ms ?? DEADLINE_MS,
    durable: deliverTo === undefined,
  };
  if (deliverTo === undefined) return response;
  response.stream = { deliver_to: deliverTo, heartbeat_ms: HEARTBEAT_MS, silence_ms: SILENCE_MS };
  for (const frame of framesOf(answer, assignmentId)) {
    const correlation = { traceId: request.trace_id ?? request.request_id, tenantId: request.tenant_id };
    deps.bus.publish(addressIn(frames, deliverTo), frame, correlation);
  }
  return response;
}

function chosen(decision: MockDecision | undefined): typeof DECISION & MockDecision {
  if (decision === undefined) throw new BeamlineError('internal', 'the fixture has no decision');
  return { ...DECISION, ...decision };
}

function framesOf({ frames: listed = [] }: MockAnswer, assignmentId: string): readonly StreamFrame[] {
  return listed.map((frame, seq) => {
    const message: unknown = Object.assign({ assignment_id: assignmentId, attempt: 1, seq }, frame);
    if (frames.message.check(message)) return message;
    throw new BeamlineError('internal', `frame ${seq} of the fixture: ${frames.message.fault(message)}`);
  });
}
