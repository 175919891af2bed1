// Holds usage events as bytes until the process rests, where they would be lost with the process anyway.
// L1. Nothing is dropped: what is over the bound is folded at once, and above twice the bound deliveries come again.
// L2. Whoever reads the tables has everything folded first.
// An event costs some microseconds here and ten times as many in SQL, and a request should not wait for that.
import { performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { UsageEvent } from '../contracts/usage.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { UsageDelivery, UsageIntake } from './usage-intake.ts';

const CHUNK_BYTES = 262_144;
const LOOK_MS = 50;
/** Share of the time that the loop was busy, below which it rests. */
const RESTING = 0.3;
/** Rows of one slice, which keep the loop for about a millisecond, and slices of one rest. */
const SLICE = 32;
const SLICES = 8;
/** A delivery that comes again when not even the backlog has room. */
const AGAIN_MS = 100;

interface Chunk {
  readonly bytes: Buffer;
  /** Ends of the events in it. */
  readonly ends: number[];
  read: number;
}

export interface BacklogDeps {
  readonly timers: Timers;
  readonly intake: Pick<UsageIntake, 'take' | 'idle'>;
  readonly bytesMax: number;
  /** Share of the time since the last call that the loop was busy. */
  readonly busy?: () => number;
}

export class UsageBacklog implements AsyncDisposable {
  readonly #deps: BacklogDeps;
  readonly #busy: () => number;
  readonly #chunks: Chunk[] = [];
  #timer: Timer | undefined;
  #feeding: Promise<void> | undefined;

  constructor(deps: BacklogDeps) {
    this.#deps = deps;
    this.#busy = deps.busy ?? loopShare();
  }

  get bytes(): number {
    return this.#chunks.length * CHUNK_BYTES;
  }

  take(delivery: UsageDelivery): void {
    const { bytesMax, timers } = this.#deps;
    if (this.bytes > 2 * bytesMax) return delivery.nak(AGAIN_MS);
    this.#write(JSON.stringify([delivery.seq, delivery.message]));
    delivery.ack();
    if (this.bytes > bytesMax) void this.#feed(() => this.bytes > bytesMax / 2);
    else this.#timer ??= timers.after(LOOK_MS, () => this.#look());
  }

  /** Resolves when everything that was taken so far is folded. */
  async drain(): Promise<void> {
    await this.#feeding;
    await this.#feed(() => true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.cancel();
    await this.drain();
    this.#timer?.cancel();
  }

  #look(): void {
    this.#timer = undefined;
    if (this.#chunks.length === 0) return;
    let slices = this.#busy() < RESTING ? SLICES : 0;
    if (slices > 0) void this.#feed(() => --slices > 0).then(() => this.#busy());
    this.#timer = this.#deps.timers.after(LOOK_MS, () => this.#look());
  }

  #write(text: string): void {
    const length = Buffer.byteLength(text);
    let chunk = this.#chunks.at(-1);
    if (chunk === undefined || (chunk.ends.at(-1) ?? 0) + length > chunk.bytes.length) {
      chunk = { bytes: Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, length)), ends: [], read: 0 };
      this.#chunks.push(chunk);
    }
    const start = chunk.ends.at(-1) ?? 0;
    chunk.bytes.write(text, start);
    chunk.ends.push(start + length);
  }

  /** Folds slices while `goesOn`, and lets the loop turn between them. */
  #feed(goesOn: () => boolean): Promise<void> {
    this.#feeding ??= this.#slices(goesOn).finally(() => {
      this.#feeding = undefined;
    });
    return this.#feeding;
  }

  async #slices(goesOn: () => boolean): Promise<void> {
    const { intake } = this.#deps;
    while (this.#chunks.length > 0) {
      for (let n = 0; n < SLICE; n++) {
        const delivery = this.#next();
        if (delivery === undefined) break;
        intake.take(delivery);
      }
      // oxlint-disable-next-line no-await-in-loop -- one slice after the other
      await intake.idle();
      if (!goesOn()) return;
      // oxlint-disable-next-line no-await-in-loop -- requests go first
      await nextTurn();
    }
  }

  #next(): UsageDelivery | undefined {
    const [chunk] = this.#chunks;
    if (chunk === undefined) return undefined;
    const end = chunk.ends[chunk.read];
    if (end === undefined) return undefined;
    const start = chunk.ends[chunk.read - 1] ?? 0;
    chunk.read++;
    if (chunk.read === chunk.ends.length) this.#chunks.shift();
    // It was checked when it came.
    const [seq, message] = JSON.parse(chunk.bytes.toString('utf8', start, end)) as [number, UsageEvent];
    return { message, seq, count: 1, ...settled };
  }
}

/** The stream has been told already. */
const settled = { ack: () => undefined, nak: () => undefined, term: () => undefined, working: () => undefined };

function loopShare(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}
