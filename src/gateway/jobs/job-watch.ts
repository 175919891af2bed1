// Hears what becomes of jobs: one watch of their states per process, only while somebody listens, and a while longer.
// W1. A listener hears what is written after it came; what was before, it reads itself, as the watch begins behind what
//     is there. One that broke goes on where it was.
// W2. A watch takes a moment to begin: then the keys that somebody listens to are read once more, so nothing is missed.
import type { Entry, KeyValue } from '../../bus/bus.ts';
import { keyPattern } from '../../contracts/bucket.ts';
import type { Timer, Timers } from '../../core/timers.ts';
import type { Log } from '../../telemetry/log.ts';

/** Must not throw. */
export type StateListener = (entry: Entry) => void;

/** Hears of every job. */
export interface EachListener {
  readonly hear: StateListener;
  /** The watch has begun: what was written before this moment it will not tell. */
  readonly begun: () => void;
}

/** A watch outlives its last listener by this. */
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
  readonly #all = new Set<EachListener>();
  #hasBegun = false;
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

  /** Hears the entries of all jobs. For one who listens from the start to the end. */
  onEach(listener: EachListener): Disposable {
    this.#all.add(listener);
    this.#start();
    if (this.#hasBegun) listener.begun();
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
      this.#hasBegun = false;
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
    /** What was heard last. */
    let after: number | undefined;
    while (!signal.aborted) {
      try {
        // eslint-disable-next-line no-await-in-loop -- the loop is the watcher
        const { revision } = await jobs.status();
        // eslint-disable-next-line no-await-in-loop -- as above
        const told = after === undefined ? await this.#begin() : NONE;
        // A bucket that was made anew counts from the start.
        after = Math.min(after ?? revision, revision);
        // eslint-disable-next-line no-await-in-loop -- as above
        for await (const entry of jobs.watch(signal, STATES, after)) {
          after = entry.revision;
          if (entry.revision > (told.get(entry.key) ?? 0)) this.#hear(entry);
        }
      } catch (fault) {
        if (!signal.aborted) log.warn('jobs_watch_broken', { fault });
      }
      // eslint-disable-next-line no-await-in-loop -- as above
      await timers.sleep(AGAIN_MS, signal).catch(() => undefined);
    }
  }

  /** Tells those who came before the watch what they may have missed; the revisions that they know now. */
  async #begin(): Promise<ReadonlyMap<string, number>> {
    const told = new Map<string, number>();
    for (const key of this.#byKey.keys()) {
      // eslint-disable-next-line no-await-in-loop -- few listen before the watch begins
      const entry = await this.#deps.jobs.get(key);
      if (entry === undefined) continue;
      told.set(key, entry.revision);
      this.#hear(entry);
    }
    this.#hasBegun = true;
    for (const { begun } of this.#all) begun();
    return told;
  }

  #hear(entry: Entry): void {
    for (const listener of this.#byKey.get(entry.key) ?? []) listener(entry);
    for (const { hear } of this.#all) hear(entry);
  }
}

const NONE: ReadonlyMap<string, number> = new Map();
