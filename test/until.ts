// Waits for a condition. The bound only ends a test that hangs; it is no claim about speed.
import { setTimeout as sleep } from 'node:timers/promises';

const LONG_MS = 15_000;

/** Resolves with the first value that is not undefined, null or false; rejects after a long time. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  longestMs = LONG_MS,
): Promise<Exclude<T, undefined | null | false>> {
  const untilMs = performance.now() + longestMs;
  for (;;) {
    // eslint-disable-next-line no-await-in-loop -- waits for a condition
    const seen = await look();
    if (seen !== undefined && seen !== null && seen !== false) return seen as Exclude<T, undefined | null | false>;
    if (performance.now() > untilMs) throw new Error(`waited too long for ${what}`);
    // eslint-disable-next-line no-await-in-loop -- as above
    await sleep(10);
  }
}
