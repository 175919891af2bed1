// The newest usage events as bytes, where they would be lost with the process anyway: folded when somebody reads.
// L1. Whoever reads the tables has everything folded first that is here.
// L2. What is over the bound pushes out the oldest; it is counted, and is in the counters of tokens and cost all the same.
// An event costs some microseconds here and ten times as many in SQL, and few of them are ever asked for.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { UsageEvent } from '../contracts/usage.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { UsageDelivery, UsageIntake } from './usage-intake.ts';

const CHUNK_BYTES = 262_144;
/** Rows of one slice, which keep the loop for about a millisecond. */
const SLICE = 32;

interface Chunk {
  readonly bytes: Buffer;
  /** Ends of the events in it. */
  readonly ends: number[];
  read: number;
}

export interface BacklogDeps {
  readonly intake: Pick<UsageIntake, 'take' | 'idle'>;
  readonly bytesMax: number;
  /** Events that were pushed out before anybody read them. */
  readonly forgotten: Counter;
}

export class UsageBacklog {
  readonly #deps: BacklogDeps;
  readonly #chunks: Chunk[] = [];
  #draining: Promise<void> | undefined;

  constructor(deps: BacklogDeps) {
    this.#deps = deps;
  }

  get bytes(): number {
    return this.#chunks.length * CHUNK_BYTES;
  }

  take(delivery: UsageDelivery): void {
    this.#write(JSON.stringify([delivery.seq, delivery.message]));
    delivery.ack();
  }

  /** Resolves when everything that was taken so far is folded. */
  drain(): Promise<void> {
    this.#draining ??= this.#fold().finally(() => {
      this.#draining = undefined;
    });
    return this.#draining;
  }

  #write(text: string): void {
    const length = Buffer.byteLength(text);
    let chunk = this.#chunks.at(-1);
    if (chunk === undefined || (chunk.ends.at(-1) ?? 0) + length > chunk.bytes.length) {
      chunk = this.#emptyChunk(length);
      this.#chunks.push(chunk);
    }
    const start = chunk.ends.at(-1) ?? 0;
    chunk.bytes.write(text, start);
    chunk.ends.push(start + length);
  }

  /** Once all are full the oldest is written again: memory that is given back for each would bring full collections. */
  #emptyChunk(length: number): Chunk {
    const oldest = this.bytes >= this.#deps.bytesMax ? this.#chunks.shift() : undefined;
    if (oldest !== undefined) this.#deps.forgotten.add(oldest.ends.length - oldest.read);
    const bytes = oldest?.bytes.length === CHUNK_BYTES && length <= CHUNK_BYTES ? oldest.bytes : undefined;
    return { bytes: bytes ?? Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, length)), ends: [], read: 0 };
  }

  /** In slices, between which the loop turns. */
  async #fold(): Promise<void> {
    const { intake } = this.#deps;
    while (this.#chunks.length > 0) {
      for (let n = 0; n < SLICE; n++) {
        const delivery = this.#next();
        if (delivery === undefined) break;
        intake.take(delivery);
      }
      // oxlint-disable-next-line no-await-in-loop -- one slice after the other
      await intake.idle();
      // oxlint-disable-next-line no-await-in-loop -- requests go first
      if (this.#chunks.length > 0) await nextTurn();
    }
  }

  #next(): UsageDelivery | undefined {
    const [chunk] = this.#chunks;
    const end = chunk?.ends[chunk.read];
    if (chunk === undefined || end === undefined) return undefined;
    const start = chunk.ends[chunk.read - 1] ?? 0;
    chunk.read++;
    if (chunk.read === chunk.ends.length) this.#chunks.shift();
    // It was checked when it came.
    const [seq, message] = JSON.parse(chunk.bytes.toString('utf8', start, end)) as [number, UsageEvent];
    return { message, seq, count: 1, storedAtMs: message.timestamp, ...settled };
  }
}

/** The stream has been told already. */
const settled = { ack: () => undefined, nak: () => undefined, term: () => undefined, working: () => undefined };
