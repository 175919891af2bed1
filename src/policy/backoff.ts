// How long to wait before a try (policy 7.2). A provider's own Retry-After binds only tries of that provider.
import type { Backoff } from './policy.ts';

const RETRY_AFTER_MAX_MS = 60_000;

/** Milliseconds before try `n`, from 1; `chance` is the draw for the jitter. A caller may lower the base, never raise it. */
export function backoffMs(backoff: Backoff, n: number, chance: number, callersBaseMs?: number): number {
  const { maxMs } = backoff;
  const baseMs = Math.min(backoff.baseMs, callersBaseMs ?? backoff.baseMs);
  const waits = {
    exponential: Math.min(maxMs, baseMs * 2 ** (n - 1)),
    linear: Math.min(maxMs, baseMs * n),
    fixed: baseMs,
  };
  return waits[backoff.strategy] * (backoff.jitter ? 0.5 + chance / 2 : 1);
}

/** The wait for the same provider: never shorter than it asked for, up to a minute. */
export const noSoonerThan = (waitMs: number, retryAfterMs: number | undefined): number =>
  Math.max(waitMs, Math.min(retryAfterMs ?? 0, RETRY_AFTER_MAX_MS));
