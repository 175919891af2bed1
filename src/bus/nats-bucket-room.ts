// Keeps a bucket of a NATS server from its last bytes: a 2.9 server counts an entry without its framing when it looks for
// room, so near `max_bytes` it takes it, and then drops the oldest entries instead. Whoever writes stops before that.
import type { Clock } from '../core/clock.ts';
import type { BucketStatus } from './bus.ts';
import { storeFull } from './nats-stream.ts';

/** Of the bucket; what is above is for what others write between two looks. */
const SHARE_MAX = 0.98;
/** Subject, headers and checksum of an entry. */
const FRAME_BYTES = 96;
/** It is looked at again after this, or when this part of it was written; a full one not all the time. */
const LOOK_MS = 5_000;
const LOOK_SHARE = 1 / 256;
const LOOK_MIN_MS = 100;

export class BucketRoom {
  readonly #clock: Clock;
  readonly #status: () => Promise<BucketStatus>;
  #bytesMax: number;
  #bytes = 0;
  /** Since the last look; what was overwritten counts too. */
  #written = 0;
  #lookedMs = -Infinity;
  #looking: Promise<void> | undefined;

  constructor(bytesMax: number, clock: Clock, status: () => Promise<BucketStatus>) {
    this.#bytesMax = bytesMax;
    this.#clock = clock;
    this.#status = status;
  }

  /** Before a write of so much; undefined: go on. Throws `unavailable` where there is no room. */
  take(bytes: number): Promise<void> | undefined {
    if (!this.#fits(bytes)) return this.#takeOrRefuse(bytes);
    if (this.#isOlder(LOOK_MS) || this.#written > this.#bytesMax * LOOK_SHARE) void this.#look();
    this.#written += bytes + FRAME_BYTES;
    return undefined;
  }

  async #takeOrRefuse(bytes: number): Promise<void> {
    if (this.#written > 0 || this.#isOlder(LOOK_MIN_MS)) await this.#look();
    if (!this.#fits(bytes)) throw storeFull();
    this.#written += bytes + FRAME_BYTES;
  }

  #fits(bytes: number): boolean {
    return this.#bytes + this.#written + bytes + FRAME_BYTES <= this.#bytesMax * SHARE_MAX;
  }

  #isOlder(ms: number): boolean {
    return this.#clock.nowMs() - this.#lookedMs > ms;
  }

  #look(): Promise<void> {
    this.#looking ??= this.#looked().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #looked(): Promise<void> {
    this.#lookedMs = this.#clock.nowMs();
    const before = this.#written;
    try {
      const { bytes, bytesMax } = await this.#status();
      this.#bytes = bytes;
      this.#bytesMax = bytesMax;
      this.#written -= before;
    } catch {
      // The write itself says what is wrong.
    }
  }
}
