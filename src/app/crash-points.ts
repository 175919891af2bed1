// The point at which a test wants a role of this process to end; in production there is none.
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
