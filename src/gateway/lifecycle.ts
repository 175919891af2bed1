// What the listener may still accept, and everybody who waits for an answer.
// `serving` -> `leaving` (not ready, still serving) -> `draining` (new requests refused, running ones go on).

import { LiveMap } from '../core/live-map.ts';

export type Phase = 'serving' | 'leaving' | 'draining';

/** A request in flight. */
export interface Waiting {
  readonly requestId: string;
  readonly dialect: string;
  /** Answers now with `draining` and gives its work up. */
  shutDown(): void;
}

export class Lifecycle {
  phase: Phase = 'serving';
  readonly #waiting = new LiveMap<string, Waiting>();

  enter(request: Waiting): void {
    this.#waiting.set(request.requestId, request);
  }

  leave(request: Waiting): void {
    this.#waiting.delete(request.requestId);
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
