// A process that is started again whenever it has ended, as a service manager does.
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestProcess } from '../../process.ts';

/** One that ends by itself more often than this does not work at all. */
const OWN_ENDS_MAX = 20;

export interface Supervised {
  readonly name: string;
  /** Ends that nobody asked for, with the last line that the process wrote. */
  readonly ownEnds: readonly string[];
  /** SIGKILL; it comes back after a pause. */
  kill(): Promise<void>;
  /** Resolves once the process that runs now is ready; one that ends before is waited out. */
  ready(): Promise<void>;
  /** SIGTERM, and an output of every process of it without unsound words. */
  stop(): Promise<void>;
}

export interface SupervisedOptions {
  readonly name: string;
  readonly start: () => TestProcess;
  readonly isReady: RegExp;
  /** Time between an end and the next start. */
  readonly downMs: () => number;
}

export function supervise({ name, start, isReady, downMs }: SupervisedOptions): Supervised {
  const all: TestProcess[] = [];
  const ownEnds: string[] = [];
  const killed = new Set<TestProcess>();
  const begin = (): TestProcess => {
    const begun = start();
    all.push(begun);
    return begun;
  };
  let current = begin();
  let isOver = false;
  const watching = (async () => {
    for (;;) {
      // eslint-disable-next-line no-await-in-loop -- one process after the other
      await current.ended;
      if (isOver) return;
      if (!killed.has(current)) ownEnds.push(`${name}: ${lastLine(current.output())}`);
      // eslint-disable-next-line no-await-in-loop -- as above
      await sleep(downMs());
      if (isOver) return;
      current = begin();
    }
  })();
  return {
    name,
    ownEnds,
    async kill() {
      killed.add(current);
      await current.kill();
    },
    async ready() {
      for (let seen: TestProcess | undefined; seen !== current;) {
        if (ownEnds.length > OWN_ENDS_MAX) throw new Error(`it ends again and again: ${ownEnds.at(-1)}`);
        seen = current;
        // eslint-disable-next-line no-await-in-loop -- the next one may be the one that stays
        await seen.until(isReady).catch(() => sleep(100));
        if (!isReady.test(seen.output())) seen = undefined;
      }
    },
    async stop() {
      isOver = true;
      await Promise.all(all.map((process) => process.stop()));
      await watching;
    },
  };
}

const lastLine = (output: string): string => output.trimEnd().slice(-500);
