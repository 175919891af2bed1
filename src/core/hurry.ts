// The patience of a shutdown: a time that is given to what runs, and that somebody may cut short.
import type { Timer, Timers } from './timers.ts';

/** Runs `run` once: after `ms`, or as soon as `hurry` says so. */
export function afterOrHurried(timers: Timers, ms: number, hurry: AbortSignal | undefined, run: () => void): Timer {
  const end = (): void => {
    cancel();
    run();
  };
  const timer = timers.after(hurry?.aborted === true ? 0 : ms, end);
  const cancel = (): void => {
    timer.cancel();
    hurry?.removeEventListener('abort', end);
  };
  hurry?.addEventListener('abort', end);
  return { cancel };
}
