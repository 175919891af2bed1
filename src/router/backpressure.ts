// Tells whoever asks how loaded this router is (contracts 4.12).
// P1. Every router is asked. A calm one answers at once, the others wait the longer the worse they stand: the first reply
//     is that of the best, and one that is active says that all are.
import type { Bus } from '../bus/bus.ts';
import { backpressureV2, type BackpressureStatus, type RouterLoad } from '../contracts/backpressure.ts';
import { at } from '../contracts/contract.ts';
import { decideV1, decideV2 } from '../contracts/decide.ts';
import { LoadWatch, type LoadWatchDeps } from './load-watch.ts';
import { type PressureLevel, retryAfterSeconds } from './pressure.ts';

/** Askers wait for a quarter of a second. */
const ANSWER_AFTER_MS = { inactive: 0, warning: 80, active: 160 } as const;
const RETRY_ATTEMPTS = 3;
/** Answers that wait; more askers are refused. */
const ASKERS_MAX = 1_000;
/** What the load is told for. */
const SUBJECTS: ReadonlySet<string> = new Set([at(decideV1).subject, at(decideV2).subject]);

export interface Backpressure extends AsyncDisposable {
  readonly level: PressureLevel;
}

export function serveBackpressure(deps: LoadWatchDeps & { readonly bus: Bus }): Backpressure {
  const { bus, timers, settings } = deps;
  const watch = new LoadWatch(deps);
  const { thresholds } = watch;
  const told = (subject: string, status: RouterLoad['status']): BackpressureStatus => ({
    success: true,
    data: {
      subject,
      router_id: settings.id,
      status,
      metrics: watch.sample.load,
      thresholds,
      policy: {
        retry_after_seconds: status === 'active' ? retryAfterSeconds(watch.sample, thresholds) : 0,
        max_retry_attempts: RETRY_ATTEMPTS,
      },
      timestamp: timers.clock.epochMs(),
    },
  });
  const served = bus.serve(
    at(backpressureV2),
    { pendingMax: ASKERS_MAX },
    async ({ subject = at(decideV2).subject }) => {
      if (!SUBJECTS.has(subject)) return told(subject, 'unknown');
      const { level } = watch;
      if (level !== 'inactive') await timers.sleep(ANSWER_AFTER_MS[level]);
      return told(subject, level);
    },
  );
  return {
    get level() {
      return watch.level;
    },
    async [Symbol.asyncDispose]() {
      await served[Symbol.asyncDispose]();
      watch[Symbol.dispose]();
    },
  };
}
