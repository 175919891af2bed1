// What is left of erased keys in a cluster: marks, which are taken away one by one once they are old.
// M1. A key is not purged there: a server of 2.9 that starts again repeats its purge as one of the whole stream.
// M2. A number is not removed while it is young: until a change of leaders is over, it may become that of another message.
import type { KvEntry } from '@nats-io/kv';
import type { NatsLink } from './nats-link.ts';
import { removeStored } from './nats-stored.ts';

const AGE_MIN_MS = 60_000;
/** Marks taken away after one list, and at a time. */
const ROUND_MAX = 2_000;
const PARALLEL = 16;

export class NatsMarks {
  readonly #link: NatsLink;
  readonly #stream: string;
  #isTidying = false;

  constructor(link: NatsLink, stream: string) {
    this.#link = link;
    this.#stream = stream;
  }

  isOld(entry: KvEntry): boolean {
    return entry.operation !== 'PUT' && entry.created.getTime() < this.#link.timers.clock.epochMs() - AGE_MIN_MS;
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
