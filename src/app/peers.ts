// How many processes of a module are there, read from the presence bucket now and then.
// P1. It never fails: while the bus cannot tell, the last count holds (policy 9.1).
import type { Bus } from '../bus/bus.ts';
import { presenceBucket } from '../contracts/presence.ts';
import type { Timer, Timers } from '../core/timers.ts';

const LOOK_MS = 5_000;

export interface Peers extends Disposable {
  /** Of the module, this process included; at least 1. */
  count(): number;
}

export async function openPeers(bus: Bus, timers: Timers, module: string): Promise<Peers> {
  const bucket = await bus.openBucket(presenceBucket);
  let count = 1;
  let timer: Timer | undefined;
  let isClosed = false;

  const look = async (): Promise<void> => {
    try {
      const entries = await bucket.entries();
      count = Math.max(1, entries.filter(({ key }) => key.startsWith(`${module}.`)).length);
    } catch {
      // The last count holds.
    }
    if (!isClosed) timer = timers.after(LOOK_MS, () => void look());
  };
  await look();

  return {
    count: () => count,
    [Symbol.dispose]() {
      isClosed = true;
      timer?.cancel();
    },
  };
}
