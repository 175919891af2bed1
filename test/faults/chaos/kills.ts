// Who is killed, in which order and after which wait: by the seed, each victim at least so often, and then on in rounds for
// as long as orders come. Those rounds leave each time to come up again, so that on a slow machine there is an end too.
import { setTimeout as sleep } from 'node:timers/promises';
import { randomFrom, shuffled } from './random.ts';

export interface Killable<V extends string> {
  kill(victim: V): Promise<void>;
  /** Resolves when all run again. */
  ready(): Promise<void>;
}

export interface KillsOptions<V extends string> {
  readonly seed: number;
  readonly victims: readonly V[];
  /** Least kills of each victim. */
  readonly killsEach: number;
  readonly killEveryMs: number;
  /** Hears of each kill. */
  readonly onKill?: ((victim: V) => void) | undefined;
}

/** How often each was killed. `done` settles when no more orders come. */
export async function killAll<V extends string>(
  fleet: Killable<V>,
  { seed, victims, killsEach, killEveryMs, onKill }: KillsOptions<V>,
  done: Promise<unknown>,
): Promise<Readonly<Record<string, number>>> {
  const random = randomFrom(seed + 2);
  const kills: Record<string, number> = {};
  let isDone = false;
  void done.catch(() => undefined).finally(() => (isDone = true));
  const first = shuffled(Array.from({ length: killsEach }, () => victims).flat(), random);
  for (let line = first, isFirst = true; isFirst || !isDone; line = shuffled(victims, random), isFirst = false) {
    for (const victim of line) {
      // eslint-disable-next-line no-await-in-loop -- one after the other
      if (!isFirst) await fleet.ready();
      // eslint-disable-next-line no-await-in-loop -- as above
      await sleep(killEveryMs * (0.5 + random()));
      if (isDone && !isFirst) return kills;
      // eslint-disable-next-line no-await-in-loop -- as above
      await fleet.kill(victim);
      kills[victim] = (kills[victim] ?? 0) + 1;
      onKill?.(victim);
    }
    if (victims.length === 0) return kills;
  }
  return kills;
}
