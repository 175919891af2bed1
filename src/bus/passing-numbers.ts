// The numbers of entries that this process has written and is going to erase, so that it need not ask for them.
// P1. A number is good for the connection that it came over: a server that was killed may give it to another message.
import type { NatsConnection } from '@nats-io/transport-node';
import { LiveMap } from '../core/live-map.ts';

/** Others are looked for when they are erased. */
const COUNT_MAX = 50_000;

export class PassingNumbers {
  readonly #numbers = new LiveMap<number>();
  #nc: NatsConnection | undefined;

  add(nc: NatsConnection, key: string, revision: number): void {
    if (nc !== this.#nc) this.#numbers.clear();
    this.#nc = nc;
    if (this.#numbers.size < COUNT_MAX || this.#numbers.has(key)) this.#numbers.set(key, revision);
  }

  /** Once; undefined where it is not known. */
  take(nc: NatsConnection, key: string): number | undefined {
    if (nc !== this.#nc) return undefined;
    const revision = this.#numbers.get(key);
    this.#numbers.delete(key);
    return revision;
  }
}
