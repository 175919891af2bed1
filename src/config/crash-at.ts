// The point at which a test wants this process to end (core/crash-point.ts); nothing that an operator sets.
import type { Environment } from './environment.ts';

/** Undefined unless `CRASH_AT` is the number of a point. */
export function crashPointOf({ CRASH_AT: point }: Environment): number | undefined {
  return point !== undefined && /^[1-9]\d?$/.test(point) ? Number(point) : undefined;
}
