// The point at which a test wants a role of this process to end; in production there is none.
import type { KeyValue } from '../bus/bus.ts';
import { crashPointOf } from '../config/crash-at.ts';
import { environment } from '../config/environment.ts';
import { crashAt, type CrashPoints } from '../core/crash-point.ts';
import type { Ground } from './ground.ts';

export function crashPoints({ telemetry }: Pick<Ground, 'telemetry'>): CrashPoints | undefined {
  const point = crashPointOf(environment);
  if (point === undefined) return undefined;
  telemetry.log.warn('crash_point_set', { count: point });
  return crashAt(point);
}

/** A point before and one after each of the first compare-and-sets; without points the bucket as it is. */
export function crashingBucket(
  bucket: KeyValue,
  crash: CrashPoints | undefined,
  points: readonly (readonly [before: number, after: number])[],
): KeyValue {
  if (crash === undefined) return bucket;
  let updates = 0;
  return {
    get: (key) => bucket.get(key),
    writtenMs: (key) => bucket.writtenMs(key),
    put: (key, value) => bucket.put(key, value),
    putPassing: (key, value) => bucket.putPassing(key, value),
    async update(key, value, revision) {
      const [before, after] = points[updates++] ?? [];
      if (before !== undefined) crash(before);
      const written = await bucket.update(key, value, revision);
      if (after !== undefined) crash(after);
      return written;
    },
    delete: (key) => bucket.delete(key),
    erase: (key) => bucket.erase(key),
    forgetReplaced: (key) => bucket.forgetReplaced(key),
    entries: (pattern) => bucket.entries(pattern),
    scan: (pattern) => bucket.scan(pattern),
    keys: (pattern) => bucket.keys(pattern),
    status: () => bucket.status(),
    watch: (signal, pattern, after) => bucket.watch(signal, pattern, after),
  };
}
