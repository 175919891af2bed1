// Who of the routers is there, read from the presence bucket now and then.
// P1. It never fails: while the bus cannot tell, the last look holds (policy 9.1).
import type { Bus } from '../bus/bus.ts';
import { presenceBucket } from '../contracts/presence.ts';
import type { Timer, Timers } from '../core/timers.ts';
import { ALONE, type RouterShare } from '../policy/router-share.ts';

const LOOK_MS = 5_000;
/** Processes with a router in them. */
const MODULES = ['router.', 'up.'];

export interface Peers extends Disposable {
  share(): RouterShare;
}

/** `ownKey` is that of this process in the bucket; it counts even while it does not stand there. */
export async function openPeers(bus: Bus, timers: Timers, ownKey: string): Promise<Peers> {
  const bucket = await bus.openBucket(presenceBucket);
  let share = ALONE;
  let timer: Timer | undefined;
  let isClosed = false;

  const look = async (): Promise<void> => {
    try {
      const keys = (await bucket.entries()).map(({ key }) => key);
      const others = keys.filter((key) => key !== ownKey && MODULES.some((module) => key.startsWith(module)));
      share = { count: others.length + 1, rank: others.filter((key) => key < ownKey).length };
    } catch {
      // The last look holds.
    }
    if (!isClosed) timer = timers.after(LOOK_MS, () => void look());
  };
  await look();

  return {
    share: () => share,
    [Symbol.dispose]() {
      isClosed = true;
      timer?.cancel();
    },
  };
}
