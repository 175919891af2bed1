// Copies of requests and jobs for a provider that is tried without anybody seeing it (policy 5.6).
// S1. A copy leaves in a later turn than the request itself, and nothing waits for it or hears of its failures.
// S2. What it did is told beside the request and to nobody else: no breaker, latency, canary, session or budget.
// S3. There are only so many at once, and none while this router or the pool is short of room.
import type { Bus } from '../bus/bus.ts';
import type { ExecAssignment } from '../contracts/assignment.ts';
import type { DecideRequest } from '../contracts/decide.ts';
import { DEADLINE_MIN_MS } from '../contracts/limits.ts';
import type { AttemptOutcome } from '../contracts/outcome.ts';
import { newAssignmentId } from '../core/ids.ts';
import type { Timer, Timers } from '../core/timers.ts';
import { draw } from '../policy/draw.ts';
import { type Facts, seedOf } from '../policy/facts.ts';
import type { Policy, Shadow } from '../policy/policy.ts';
import { scopeOf } from '../policy/scope-of.ts';
import type { Counter, Family } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { assignmentOf } from './assignment-of.ts';
import { callTo } from './attempts.ts';
import type { DecisionLog } from './decision-log.ts';
import type { LiveState } from './live-state.ts';
import type { RouterSettings } from './settings.ts';

/** Share of the requests in flight above which the router keeps its room to itself. */
const BUSY_SHARE = 0.8;
/** What a pool keeps of its weight while it is overloaded. */
const OVERLOADED_FACTOR = 0.3;
/** After its deadline an outcome may still be on its way. */
const LATE_MS = 2_000;
const FIRST = { attempt: 1, failureWords: [] };

export interface ShadowsDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly settings: RouterSettings;
  readonly live: LiveState;
  readonly decisions?: DecisionLog | undefined;
  /** Interactive requests of this router. */
  readonly inFlight: { readonly size: number };
}

/** A request or the first attempt of a job that was sent just now. */
export interface Pushed {
  readonly request: DecideRequest;
  readonly policy: Policy;
  readonly facts: Facts;
  readonly timeLeftMs: number;
}

interface Running {
  readonly key: string;
  readonly facts: Facts;
  readonly timer: Timer;
}

export class Shadows implements Disposable {
  readonly #deps: ShadowsDeps;
  readonly #results: Family<Counter>;
  /** By assignment; bounded by `max_in_flight` of each policy, and by the deadlines. */
  readonly #running = new Map<string, Running>();
  readonly #counts = new Map<string, number>();

  constructor(deps: ShadowsDeps) {
    this.#deps = deps;
    this.#results = deps.telemetry.metrics.counter({
      name: 'router_shadows_total',
      help: 'Copies of requests for the shadow of a policy, by what became of them.',
      labels: ['result'],
    });
  }

  /** Copies the request if its draw says so and there is room. */
  offer(pushed: Pushed, shadow: Shadow): void {
    const { policy, facts } = pushed;
    if (draw(seedOf(facts), 1, 'shadow') * 100 >= shadow.share) return;
    const live = this.#deps.live.now(facts.tenantId, policy);
    if (!shadow.holds(scopeOf(policy, facts, live, FIRST))) return;
    const model = shadow.to.model ?? facts.model;
    if (model === undefined || pushed.timeLeftMs < DEADLINE_MIN_MS) return;
    const key = `${facts.tenantId} ${policy.policyId}`;
    const isBusy = this.#deps.inFlight.size > this.#deps.settings.in_flight_max * BUSY_SHARE;
    const isShort =
      live.hasCapacity?.(shadow.to) === false || (live.poolFactor?.(shadow.to.pool) ?? 1) <= OVERLOADED_FACTOR;
    if (isBusy || isShort) return this.#results.of('backpressure').add();
    const count = this.#counts.get(key) ?? 0;
    if (count >= shadow.maxInFlight) return this.#results.of('in_flight').add();
    this.#counts.set(key, count + 1);
    const assignment = this.#copy(pushed, shadow, model);
    this.#running.set(assignment.assignment_id, {
      key,
      facts,
      timer: this.#deps.timers.after(pushed.timeLeftMs + LATE_MS, () => this.#over(assignment.assignment_id, 'lost')),
    });
    setImmediate(() => this.#send(assignment, shadow.to.pool));
  }

  /** Hears how a copy of whatever router has ended. */
  heard(outcome: AttemptOutcome): void {
    const running = this.#running.get(outcome.assignment_id);
    if (running === undefined || outcome.state === 'committed') return;
    this.#deps.decisions?.shadowEnded(running.facts, outcome);
    this.#over(outcome.assignment_id, outcome.state);
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#running.values()) timer.cancel();
    this.#running.clear();
  }

  #copy({ request, policy, timeLeftMs }: Pushed, { to }: Shadow, model: string): ExecAssignment {
    const ordered = { request, policy, assignmentId: newAssignmentId(), routerId: this.#deps.settings.id };
    const attempt = { attempt: 1, target: to, model, reason: 'shadow', priority: 0, timeLeftMs };
    const { deliver_to: _, ...assignment } = assignmentOf(ordered, attempt);
    return { ...assignment, shadow: true };
  }

  #send(assignment: ExecAssignment, pool: string): void {
    const { assignment_id: id, tenant_id: tenantId, correlation } = assignment;
    // This router has stopped meanwhile.
    if (!this.#running.has(id)) return;
    this.#results.of('sent').add();
    const options = {
      timeoutMs: this.#deps.settings.accept_wait_ms,
      correlation: { tenantId, traceId: correlation?.trace_id ?? '-' },
    };
    this.#deps.bus.request(callTo(pool), assignment, options).then(
      ({ status }) => {
        if (status !== 'accepted') this.#over(id, 'refused');
      },
      () => this.#over(id, 'refused'),
    );
  }

  #over(assignmentId: string, result: string): void {
    const running = this.#running.get(assignmentId);
    if (running === undefined) return;
    running.timer.cancel();
    this.#running.delete(assignmentId);
    this.#results.of(result).add();
    const left = (this.#counts.get(running.key) ?? 1) - 1;
    if (left > 0) this.#counts.set(running.key, left);
    else this.#counts.delete(running.key);
  }
}
