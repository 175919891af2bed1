// Takes durable work: from the reply on it has exactly one end, whatever dies (worker 1, G1).
import type { DecideRequest, DecideResponse } from '../../contracts/decide.ts';
import { at } from '../../contracts/contract.ts';
import { DEFAULT_POOL, execAssign, execAssignPool } from '../../contracts/assignment.ts';
import type { JobRequest } from '../../contracts/job.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Timers } from '../../core/timers.ts';
import type { Policy } from '../../policy/policy.ts';
import { approvalOf } from './approval-order.ts';
import type { Dispatcher } from './dispatcher.ts';
import { jobIdsOf, recordOf } from './durable-request.ts';
import { digestOf } from './job-digest.ts';
import { APPROVAL, dueOf } from './job-due.ts';
import type { JobRoom } from './job-room.ts';
import type { JobMetrics } from './job-metrics.ts';
import { attemptMsOf, type Decided } from './job-plan.ts';
import { type JobStore, refOf, sameAs, usedKey } from './job-store.ts';
import type { Keeper } from './keeper.ts';
import type { Outstanding } from './outstanding.ts';

/** `Retry-After` of a tenant that has too many jobs. */
const FULL_RETRY_MS = 5_000;

export interface AcceptanceDeps {
  readonly timers: Timers;
  readonly routerId: string;
  readonly outstandingMax: number;
  readonly store: JobStore;
  readonly keeper: Keeper;
  readonly dispatcher: Dispatcher;
  readonly outstanding: Outstanding;
  readonly room: JobRoom;
  /** A record is kept no longer after its acceptance. */
  readonly lifeMaxMs: number;
  readonly metrics: JobMetrics;
}

export interface Order {
  readonly asked: DecideRequest;
  readonly prepared: DecideRequest;
  readonly policy: Policy;
  /** What is answered, now and to every repeat. */
  readonly decision: NonNullable<DecideResponse['decision']>;
  /** Undefined for a block, which no policy routes. */
  readonly decided: Decided | undefined;
}

export type Answer = Required<Pick<DecideResponse, 'decision' | 'assignment'>>;

export interface Accepted {
  /** Undefined if the record does not tell it. */
  readonly answer: Answer | undefined;
  readonly isDuplicate: boolean;
  /** Of a new one. */
  readonly atMs?: number | undefined;
}

export class Acceptance {
  readonly #deps: AcceptanceDeps;

  constructor(deps: AcceptanceDeps) {
    this.#deps = deps;
  }

  /** What was accepted under the same key before. Throws `idempotency_conflict` if it was something else, or is deleted. */
  async known(asked: DecideRequest): Promise<Accepted | undefined> {
    const { store, metrics } = this.#deps;
    const { assignmentId } = jobIdsOf(asked);
    const ref = { tenantId: asked.tenant_id, assignmentId };
    const [before, isUsed] = await Promise.all([store.request(ref), store.isUsed(ref)]);
    // A state is younger than its request, which may have come between the two reads.
    const stored = before ?? (isUsed ? await store.request(ref) : undefined);
    if (stored === undefined && isUsed) throw usedKey('the key was used for a job that was deleted');
    if (stored === undefined) return undefined;
    sameAs(stored, digestOf(asked));
    metrics.duplicate.add();
    return { answer: answerIn(stored), isDuplicate: true };
  }

  /**
   * Stores the job; it is dispatched afterwards. Throws `queue_full`, `service_overloaded` where the bucket has no room,
   * `idempotency_conflict`, what an invalid order is, and `unavailable` without the bucket.
   */
  async accept(order: Order): Promise<Accepted> {
    const { store, keeper, dispatcher, outstanding, room, metrics, timers, outstandingMax } = this.#deps;
    const nowMs = timers.clock.epochMs();
    const bare = recordOf({ ...this.#deps, ...order, nowMs });
    const answer = answerOf(bare, order, nowMs);
    const record = { ...bare, answer };
    if (record.request.task.type === APPROVAL) approvalOf(record);
    await room.assert();
    if (outstanding.of(record.tenant_id) >= outstandingMax) {
      metrics.refused.add();
      throw new BeamlineError('queue_full', `the tenant has ${outstandingMax} jobs that have not ended`, {
        retryAfterMs: FULL_RETRY_MS,
        details: { scope: 'quota' },
      });
    }
    // Before the first write, so that those who come at once do not pass the bound together.
    outstanding.opened(record.tenant_id);
    const { request, isNew, chars } = await store.accept(record).catch((fault: unknown) => {
      outstanding.closed(record.tenant_id);
      throw fault;
    });
    if (!isNew) {
      outstanding.closed(record.tenant_id);
      metrics.duplicate.add();
      // It may be over, and the attempt to accept it has opened it again.
      keeper.look(refOf(request));
      return { answer: answerIn(request), isDuplicate: true };
    }
    metrics.accepted.add();
    room.took(chars);
    const found = { request, state: undefined, revision: 0 };
    if (dueOf(request, undefined, nowMs).kind === 'dispatch') dispatcher.add(found, order.decided, true);
    else keeper.look(refOf(request));
    return { answer, isDuplicate: false, atMs: nowMs };
  }
}

function answerOf(record: JobRequest, { policy, decided, decision }: Order, nowMs: number): Answer {
  const pool = decided?.target.pool ?? DEFAULT_POOL;
  const { subject } = pool === DEFAULT_POOL ? at(execAssign) : at(execAssignPool, { pool });
  const deadline_ms = attemptMsOf(record, policy, nowMs);
  return {
    decision,
    assignment: { assignment_id: record.assignment_id, attempt: 1, subject, deadline_ms, durable: true },
  };
}

/** Only `answerOf` makes it, and only routers write records. */
const answerIn = ({ answer }: JobRequest): Answer | undefined => answer as Answer | undefined;
