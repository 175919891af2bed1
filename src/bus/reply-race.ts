// Waits for the reply of an asynchronous handler, until the deadline or the signal: one timer, always cancelled.
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { RequestOptions } from './bus.ts';

export const timedOut = (timeoutMs: number): BeamlineError =>
  new BeamlineError('timeout', `no reply within ${timeoutMs} ms`);

export const cancelled = (): BeamlineError => new BeamlineError('cancelled', 'the request was cancelled');

/** The first of: the reply, `timeout`, `cancelled`. What the reply does later is ignored. */
export function raceReply<R>(reply: Promise<R>, options: RequestOptions, timers: Timers): Promise<R> {
  const { timeoutMs, signal } = options;
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      timer.cancel();
      reject(cancelled());
    };
    const timer = timers.after(timeoutMs, () => {
      signal?.removeEventListener('abort', abort);
      reject(timedOut(timeoutMs));
    });
    signal?.addEventListener('abort', abort, { once: true });
    const over = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', abort);
    };
    reply.then(
      (value) => {
        over();
        resolve(value);
      },
      (fault: unknown) => {
        over();
        reject(BeamlineError.from(fault));
      },
    );
  });
}
