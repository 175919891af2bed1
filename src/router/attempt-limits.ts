// The times of a policy within which an attempt must end and begin its answer (policy 7.3). Its worker holds them first;
// a worker that lives and does nothing is noticed here, a moment later.
import { CLOCK_SKEW_MS } from '../contracts/limits.ts';
import type { Policy } from '../policy/policy.ts';
import type { Failure } from '../policy/status-words.ts';
import { statedFailure } from './attempt-failure.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** Moments are those of the monotonic clock. */
export class AttemptLimits {
  readonly #attemptMs: number;
  readonly #firstChunkMs: number;
  #endMs = NEVER;
  #firstMs = NEVER;

  /** Undefined for a policy without such times. A required post-processor holds a stream until its whole output is there. */
  static of({ timeouts, post }: Policy, isStream: boolean): AttemptLimits | undefined {
    const { attemptMs = NEVER, firstChunkMs = NEVER } = timeouts;
    const isHeld = post?.some(({ onFailure }) => onFailure === 'end') === true;
    const firstMs = isStream && !isHeld ? firstChunkMs : NEVER;
    return attemptMs === NEVER && firstMs === NEVER ? undefined : new AttemptLimits(attemptMs, firstMs);
  }

  private constructor(attemptMs: number, firstChunkMs: number) {
    this.#attemptMs = attemptMs;
    this.#firstChunkMs = firstChunkMs;
  }

  pushed(nowMs: number): void {
    this.#endMs = nowMs + this.#attemptMs + CLOCK_SKEW_MS;
    this.#firstMs = NEVER;
  }

  accepted(nowMs: number): void {
    this.#firstMs = nowMs + this.#firstChunkMs + CLOCK_SKEW_MS;
  }

  /** When somebody must look. */
  dueMs(isCommitted: boolean): number {
    return isCommitted ? this.#endMs : Math.min(this.#endMs, this.#firstMs);
  }

  /** How the attempt has failed by now, if it has. */
  failureAt(nowMs: number, isCommitted: boolean): Failure | undefined {
    if (nowMs >= this.#endMs) return statedFailure('CANCELLED_BY_TIMEOUT');
    if (isCommitted || nowMs < this.#firstMs) return undefined;
    return { ...statedFailure('CONNECTION_TIMEOUT'), detailCode: 'first_chunk' };
  }
}
