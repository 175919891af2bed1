// Hears what becomes of jobs: one watch of their states per process, only while somebody listens, and a while longer.
// W1. A listener hears what is written after it came; what was before, it reads itself. A watch that broke starts anew
//     with everything that is there, so nothing is missed and things may be told twice.
import type { Entry, KeyValue } from '../../bus/bus.ts';
import { keyPattern } from '../../contracts/bucket.ts';
import type { Timer, Timers } from '../../core/timers.ts';
import type { Log } from '../../telemetry/log.ts';

/** Must not throw. */
export type StateListener = (entry: Entry) => void;

/** A start reads every state that there is, so a watch outlives its last listener by this. */
const LINGER_MS = 60_000;
const AGAIN_MS = 1_000;
const STATES = keyPattern(undefined, undefined, 'state');

export interface JobWatchDeps {
  readonly jobs: KeyValue;
  readonly timers: Timers;
  readonly log: Log;
}

export class JobWatch implements AsyncDisposable {
  readonly #deps: JobWatchDeps;
  readonly #byKey = new Map<string, Set<StateListener>>();
  readonly #all = new Set<StateListener>();
  #running: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined;
  #linger: Timer | undefined;
  #isOver = false;

  constructor(deps: JobWatchDeps) {
    this.#deps = deps;
  }

  /** Whether a watch is open. */
  get isOpen(): boolean {
    return this.#running !== undefined;
  }

  /** Hears the entries of one key. */
  on(key: string, listener: StateListener): Disposable {
    const listeners = this.#byKey.get(key) ?? new Set();
    listeners.add(listener);
    this.#byKey.set(key, listeners);
    this.#start();
    return {
      [Symbol.dispose]: () => {
        listeners.delete(listener);
        if (listeners.size === 0 && this.#byKey.get(key) === listeners) this.#byKey.delete(key);
        this.#rest();
      },
    };
  }

  /** Hears the entries of all jobs, those that are there first. For one who listens from the start to the end. */
  onEach(listener: StateListener): Disposable {
    this.#all.add(listener);
    this.#start();
    return {
      [Symbol.dispose]: () => {
        this.#all.delete(listener);
        this.#rest();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    this.#linger?.cancel();
    this.#running?.stop.abort();
    await this.#running?.ended;
  }

  #start(): void {
    this.#linger?.cancel();
    this.#linger = undefined;
    if (this.#running !== undefined || this.#isOver) return;
    const stop = new AbortController();
    const ended = this.#run(stop.signal).finally(() => {
      this.#running = undefined;
      if (this.#isWanted()) this.#start();
    });
    this.#running = { stop, ended };
  }

  #isWanted(): boolean {
    return this.#byKey.size > 0 || this.#all.size > 0;
  }

  #rest(): void {
    if (this.#isWanted() || this.#linger !== undefined || this.#isOver) return;
    this.#linger = this.#deps.timers.after(LINGER_MS, () => this.#running?.stop.abort());
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { jobs, timers, log } = this.#deps;
    while (!signal.aborted) {
      try {
        // eslint-disable-next-line no-await-in-loop -- the loop is the watcher
        for await (const entry of jobs.watch(signal, STATES)) this.#hear(entry);
      } catch (fault) {
        if (!signal.aborted) log.warn('jobs_watch_broken', { fault });
      }
      // eslint-disable-next-line no-await-in-loop -- as above
      await timers.sleep(AGAIN_MS, signal).catch(() => undefined);
    }
  }

  #hear(entry: Entry): void {
    for (const listener of this.#byKey.get(entry.key) ?? []) listener(entry);
    for (const listener of this.#all) listener(entry);
  }
}
