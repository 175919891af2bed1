// What the listener may still accept, and everybody who waits for an answer.
// `serving` -> `leaving` (not ready, still serving) -> `draining` (new requests refused, running ones go on).

import { LiveList } from '../core/live-list.ts';

export type Phase = 'serving' | 'leaving' | 'draining';

/** A request in flight. */
export interface Waiting {
  readonly dialect: string;
  /** Answers now with `draining` and gives its work up. */
  shutDown(): void;
}

export class Lifecycle {
  phase: Phase = 'serving';
  readonly #waiting = new LiveList<Waiting>();

  /** The place that `leave` gives back. */
  enter(request: Waiting): number {
    return this.#waiting.add(request);
  }

  leave(place: number): void {
    this.#waiting.delete(place);
  }

  countOf(dialect: string): number {
    let count = 0;
    for (const request of this.#waiting.values()) if (request.dialect === dialect) count++;
    return count;
  }

  shutDownAll(): void {
    for (const request of this.#waiting.values()) request.shutDown();
  }
}
