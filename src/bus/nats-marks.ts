// What is left of erased keys in a cluster: marks, which are taken away one by one once they are old, by who made them
// or, where that one has ended, by who lists the bucket.
// M1. A key is never purged: in a cluster, a server of 2.9 that starts again repeats that as a purge of the whole stream.
// M2. A number is not removed while it is young: until a change of leaders is over, it may become that of another message.
import type { Timer } from '../core/timers.ts';
import type { NatsLink } from './nats-link.ts';
import type { Listed } from './nats-list.ts';
import { removeStored } from './nats-stored.ts';

const AGE_MIN_MS = 60_000;
/** Marks of this process that are remembered; the others are left to who lists. */
const LEFT_MAX = 100_000;
/** Marks taken away after one list, and at a time. */
const ROUND_MAX = 2_000;
const PARALLEL = 16;

interface Left {
  readonly revision: number;
  readonly atMs: number;
}

export class NatsMarks implements Disposable {
  readonly #link: NatsLink;
  readonly #stream: string;
  #isTidying = false;
  /** Oldest first. */
  #left: Left[] = [];
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(link: NatsLink, stream: string) {
    this.#link = link;
    this.#stream = stream;
  }

  isOld({ deleted, writtenAtMs }: Listed): boolean {
    return deleted && writtenAtMs < this.#link.timers.clock.epochMs() - AGE_MIN_MS;
  }

  /** A mark of this process. */
  left(revision: number): void {
    if (this.#left.length >= LEFT_MAX || this.#isClosed) return;
    this.#left.push({ revision, atMs: this.#link.timers.clock.nowMs() });
    this.#await(AGE_MIN_MS);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #await(ms: number): void {
    if (!this.#isClosed) this.#timer ??= this.#link.timers.after(ms, () => void this.#tidyLeft());
  }

  async #tidyLeft(): Promise<void> {
    const oldMs = this.#link.timers.clock.nowMs() - AGE_MIN_MS;
    const young = this.#left.findIndex(({ atMs }) => atMs > oldMs);
    const old = this.#left.splice(0, Math.min(ROUND_MAX, young < 0 ? this.#left.length : young));
    await this.tidy(old.map(({ revision }) => revision));
    this.#timer = undefined;
    const [next] = this.#left;
    if (next !== undefined) this.#await(Math.max(0, next.atMs - oldMs));
  }

  /** Takes some of them away, if this is not being done already; what fails is left to the next time. */
  async tidy(revisions: readonly number[]): Promise<void> {
    if (this.#isTidying || revisions.length === 0) return;
    this.#isTidying = true;
    try {
      const left = revisions.slice(0, ROUND_MAX).values();
      const one = async (): Promise<void> => {
        // eslint-disable-next-line no-await-in-loop -- each takes the next one
        for (const revision of left) await removeStored(this.#link, { name: this.#stream }, revision);
      };
      await Promise.all(Array.from({ length: PARALLEL }, one));
    } catch (fault) {
      this.#link.log.debug('bus_marks_left', { source: this.#stream, fault });
    } finally {
      this.#isTidying = false;
    }
  }
}
