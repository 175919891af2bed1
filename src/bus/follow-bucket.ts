// Follows a bucket until it is told to stop: what stands in it and every change, again from the start after a fault.
import type { KeyPattern } from '../contracts/bucket.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { Entry, KeyValue } from './bus.ts';

/** Between two tries to watch. */
const RETRY_MS = 1_000;

export interface Follower {
  readonly bucket: KeyValue;
  readonly signal: AbortSignal;
  readonly timers: Timers;
  readonly log: Log;
  /** The event of the line that tells a fault. */
  readonly unwatched: string;
  /** May be called again with what it has heard before; what it throws ends the watch, which then starts anew. */
  hear(entry: Entry): void;
  readonly pattern?: KeyPattern;
}

export async function followBucket(follower: Follower): Promise<void> {
  const { bucket, signal, timers, log, unwatched, pattern } = follower;
  while (!signal.aborted) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- tries come one after the other
      for await (const entry of bucket.watch(signal, pattern)) follower.hear(entry);
    } catch (fault) {
      log.debug(unwatched, { code: BeamlineError.from(fault).code });
    }
    // oxlint-disable-next-line no-await-in-loop -- as above
    if (!signal.aborted) await timers.sleep(RETRY_MS, signal).catch(() => undefined);
  }
}
