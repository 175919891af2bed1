// A process tells that it is there, and looks who else is: one that meets an incompatible peer does not serve.
// P1. The newcomer refuses, so that what already serves goes on: a rolling upgrade never stops the old version.
// P2. A server that is away when a process starts is asked later; then an incompatible peer is told in the log.
// P3. A beat comes with each connection, and again soon where a broker that has just begun refuses it: whoever waits for
// this process to be ready waits for the broker alone.
// P4. The broker's time of a beat tells how far the clock of this machine is from it: at least so far as it lies outside
// the time that the beat took.
// P5. Each beat is a write that the broker confirms, which a full or stopped one does not: the canary of readiness.
import type { Bus, KeyValue } from '../bus/bus.ts';
import { readRecord } from '../contracts/codec.ts';
import { type Presence, presence, presenceBucket, presenceKey } from '../contracts/presence.ts';
import { isCompatible } from '../core/compatibility.ts';
import { BeamlineError } from '../core/errors.ts';
import { type Check, mustHold } from '../core/health.ts';
import type { Timer } from '../core/timers.ts';
import type { Ground } from './ground.ts';

const BEAT_MS = 2_000;
/** After a write that was refused at once. */
const AGAIN_MS = 250;
/** A broker that confirmed nothing for this long takes no writes; told before five seconds are over. */
const CONFIRMED_MAX_MS = 4_500;

export interface Process {
  readonly module: string;
  readonly id: string;
  /** Version of the product. */
  readonly version: string;
}

export interface OpenedPresence extends AsyncDisposable {
  /** Where the process stands in the bucket. */
  readonly key: string;
  /** Whether the broker still confirms writes. */
  check(): Check;
  /** How far the clock of this machine is from the broker's at least; 0 while nothing was measured. */
  readonly clockSkewMs: () => number;
}

/** Throws `unavailable` with `details.reason` `incompatible_peer` if a peer is there that this version cannot serve with. */
export async function openPresence(ground: Ground, bus: Bus, process: Process): Promise<OpenedPresence> {
  const { timers, telemetry } = ground;
  const log = telemetry.log.for('presence');
  const bucket = await bus.openBucket(presenceBucket);
  const key = presenceKey(process.module, process.id);
  const own: Presence = {
    version: '2',
    module: process.module,
    process_id: process.id,
    product_version: process.version,
    started_at_ms: timers.clock.epochMs(),
  };
  let hasLooked = await lookAround(bucket, own, true);
  let timer: Timer | undefined;
  let isGone = false;
  let skewMs = 0;
  /** When the last write left that was confirmed. */
  let confirmedMs = -Infinity;

  const beat = async (): Promise<void> => {
    beatIn(BEAT_MS);
    const sentMs = timers.clock.nowMs();
    try {
      const fromMs = timers.clock.epochMs();
      await bucket.put(key, JSON.stringify(own));
      const toMs = timers.clock.epochMs();
      confirmedMs = Math.max(confirmedMs, sentMs);
      const writtenMs = await bucket.writtenMs(key);
      if (writtenMs !== undefined) skewMs = Math.max(0, fromMs - writtenMs, writtenMs - toMs);
      if (!hasLooked) hasLooked = await lookAround(bucket, own, false);
    } catch (fault) {
      // Who is silent is forgotten, and the next beat tells it again.
      if (BeamlineError.from(fault).code !== 'unavailable') log.error('presence_failed', { fault });
      else if (bus.state === 'connected' && timers.clock.nowMs() - sentMs < AGAIN_MS) beatIn(AGAIN_MS);
    }
  };
  const beatIn = (ms: number): void => {
    timer?.cancel();
    if (!isGone) timer = timers.after(ms, () => void beat());
  };
  const connected = bus.onState((state) => {
    if (state === 'connected') void beat();
  });
  await beat();

  return {
    key,
    check: () => mustHold(timers.clock.nowMs() - confirmedMs <= CONFIRMED_MAX_MS, 'the broker does not confirm writes'),
    clockSkewMs: () => skewMs,
    async [Symbol.asyncDispose]() {
      isGone = true;
      connected[Symbol.dispose]();
      timer?.cancel();
      await bucket.delete(key).catch(() => undefined);
    },
  };

  async function lookAround(peers: KeyValue, self: Presence, isStart: boolean): Promise<boolean> {
    const strangers = await incompatible(peers, self);
    if (strangers === undefined) return false;
    if (strangers.length === 0) return true;
    const message = `${self.module} ${self.product_version} cannot serve with ${strangers.join(', ')}`;
    if (isStart) throw new BeamlineError('unavailable', message, { details: { reason: 'incompatible_peer' } });
    log.error('incompatible_peer', { fault: new Error(message) });
    return true;
  }
}

/** Peers of other versions, `module process version`; undefined while the bus cannot tell. */
async function incompatible(bucket: KeyValue, own: Presence): Promise<readonly string[] | undefined> {
  try {
    const entries = await bucket.entries();
    return entries.flatMap(({ value }) => {
      // What stands there may be anybody's.
      const peer = readRecord(presence, value);
      if (peer === undefined || isCompatible(own.product_version, peer.product_version)) return [];
      return [`${peer.module} ${peer.process_id} ${peer.product_version}`];
    });
  } catch (fault) {
    if (BeamlineError.from(fault).code === 'unavailable') return undefined;
    throw fault;
  }
}
