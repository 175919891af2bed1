// The streams on which attempts of jobs wait for a worker, one for each pool: sends them there, and asks whether they still
// stand there.
// O1. One id for an attempt, whoever sends it and however often: its stream takes it once while it knows the id.
import type { Bus, PubAck } from '../../bus/bus.ts';
import { DEFAULT_POOL, type ExecAssignment, execAssign, execAssignPool } from '../../contracts/assignment.ts';
import { at } from '../../contracts/contract.ts';
import type { JobAttempt } from '../../contracts/job.ts';
import { assignStream, workerAssignments } from '../../contracts/streams.ts';
import type { JobRef } from './job-store.ts';

const CONFIRM_MS = 20_000;

export class OrderStreams {
  readonly #bus: Bus;
  readonly #pools = new Map<string, Promise<void>>();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Throws what the bus throws. */
  async append(order: ExecAssignment, pool: string): Promise<PubAck> {
    const { tenant_id: tenantId, assignment_id: assignmentId, attempt = 1, correlation } = order;
    const options = {
      messageId: orderIdOf({ tenantId, assignmentId }, attempt),
      timeoutMs: CONFIRM_MS,
      correlation: { tenantId, traceId: correlation?.trace_id ?? '-' },
    };
    await this.#ensure(pool);
    if (pool === DEFAULT_POOL) return this.#bus.append(at(execAssign), order, options);
    return this.#bus.append(at(execAssignPool, { pool }), order, options);
  }

  /**
   * Whether the attempt waits where it was stored, or a worker has it. After a server was killed another message may have
   * the number, and what was acknowledged may stand there again. Throws `unavailable`.
   */
  async holds(ref: JobRef, { attempt, pool }: Pick<JobAttempt, 'attempt' | 'pool'>, seq: number): Promise<boolean> {
    const stream = assignStream(pool);
    const [stored] = await this.#bus.read(stream, { fromSeq: seq, limit: 1 });
    if (stored?.seq !== seq || stored.headers['Nats-Msg-Id'] !== orderIdOf(ref, attempt)) return false;
    return seq > (await this.#bus.progress(stream, workerAssignments(pool))).settledSeq;
  }

  /** Pools are named by policies, so there are few; one that failed is asked for again. */
  #ensure(pool: string): Promise<void> {
    const known = this.#pools.get(pool);
    if (known !== undefined) return known;
    const ensured = this.#bus.ensureStream(assignStream(pool));
    this.#pools.set(pool, ensured);
    ensured.catch(() => this.#pools.delete(pool));
    return ensured;
  }
}

const orderIdOf = ({ tenantId, assignmentId }: JobRef, attempt: number): string =>
  `asg:${tenantId}:${assignmentId}:${attempt}`;
