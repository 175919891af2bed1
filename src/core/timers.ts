// One hashed wheel for all deadlines of a process: a deadline costs a list insertion, not an operating-system timer.
// T1. A timer never fires before its moment and at most one tick (plus loop lag) after it.
// T2. A timer that is over holds nothing: a dead neighbour in old memory would keep its whole request alive.
// T3. The driving interval runs only while a timer is pending, so an idle process can end.
import type { Clock } from './clock.ts';

const SLOTS = 512;

/** A pending deadline. Cancelling twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

const nothing = (): void => undefined;

class Entry implements Timer {
  run: () => void;
  readonly dueTick: number;
  previous: Entry | undefined;
  next: Entry | undefined;
  isPending = true;
  readonly #wheel: Timers;

  constructor(wheel: Timers, dueTick: number, run: () => void) {
    this.#wheel = wheel;
    this.dueTick = dueTick;
    this.run = run;
  }

  cancel(): void {
    this.#wheel.remove(this);
  }
}

export class Timers implements Disposable {
  readonly clock: Clock;
  readonly #tickMs: number;
  readonly #slots: (Entry | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  readonly #onFault: (fault: unknown) => void;
  #pending = 0;
  #lastTick: number;
  #interval: NodeJS.Timeout | undefined;

  /** `onFault` hears what a timer threw; without it the fault ends the process, as any uncaught one. */
  constructor(clock: Clock, options: { tickMs?: number; onFault?: (fault: unknown) => void } = {}) {
    this.clock = clock;
    this.#tickMs = options.tickMs ?? 20;
    this.#onFault =
      options.onFault ??
      ((fault) =>
        queueMicrotask(() => {
          throw fault;
        }));
    this.#lastTick = Math.floor(clock.nowMs() / this.#tickMs);
  }

  /** Runs `run` once, at or soon after the moment `dueMs` of the monotonic clock. */
  at(dueMs: number, run: () => void): Timer {
    if (this.#pending === 0) this.#lastTick = Math.floor(this.clock.nowMs() / this.#tickMs);
    const dueTick = Math.max(this.#lastTick + 1, Math.ceil(dueMs / this.#tickMs));
    const entry = new Entry(this, dueTick, run);
    const slot = dueTick % SLOTS;
    const head = this.#slots[slot];
    entry.next = head;
    if (head !== undefined) head.previous = entry;
    this.#slots[slot] = entry;
    this.#pending++;
    this.#interval ??= setInterval(() => this.tick(), this.#tickMs);
    return entry;
  }

  after(ms: number, run: () => void): Timer {
    return this.at(this.clock.nowMs() + ms, run);
  }

  /** Resolves after `ms`, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const abort = (): void => {
        timer.cancel();
        reject(signal?.reason as Error);
      };
      const timer = this.after(ms, () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      });
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** Fires what is due. The interval calls it; a test with a manual clock calls it by hand. */
  tick(): void {
    const nowTick = Math.floor(this.clock.nowMs() / this.#tickMs);
    const from = Math.max(this.#lastTick + 1, nowTick - SLOTS + 1);
    this.#lastTick = nowTick;
    for (let tick = from; tick <= nowTick; tick++) this.#fireSlot(tick % SLOTS, nowTick);
    if (this.#pending === 0) this.#stop();
  }

  get pending(): number {
    return this.#pending;
  }

  remove(entry: Entry): void {
    if (!entry.isPending) return;
    entry.isPending = false;
    this.#pending--;
    if (entry.previous === undefined) this.#slots[entry.dueTick % SLOTS] = entry.next;
    else entry.previous.next = entry.next;
    if (entry.next !== undefined) entry.next.previous = entry.previous;
    entry.previous = undefined;
    entry.next = undefined;
    entry.run = nothing;
  }

  [Symbol.dispose](): void {
    for (const head of this.#slots) {
      for (let entry = head; entry !== undefined; entry = entry.next) entry.isPending = false;
    }
    this.#pending = 0;
    this.#slots.fill(undefined);
    // A dead interval in its place: what asks for a moment from now on gets none, and keeps no process alive.
    this.#interval ??= setInterval(nothing, this.#tickMs);
    clearInterval(this.#interval);
  }

  #fireSlot(slot: number, nowTick: number): void {
    const due: Entry[] = [];
    for (let entry = this.#slots[slot]; entry !== undefined; entry = entry.next) {
      if (entry.dueTick <= nowTick) due.push(entry);
    }
    for (const entry of due) {
      if (!entry.isPending) continue;
      const { run } = entry;
      this.remove(entry);
      try {
        run();
      } catch (fault) {
        this.#onFault(fault);
      }
    }
  }

  #stop(): void {
    clearInterval(this.#interval);
    this.#interval = undefined;
  }
}
