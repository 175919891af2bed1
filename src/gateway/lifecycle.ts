// What the listener may still accept, and everybody who waits for an answer.
// `serving` -> `leaving` (not ready, still serving) -> `draining` (new requests refused, running ones go on).

export type Phase = 'serving' | 'leaving' | 'draining';

/** A request in flight. */
export interface Waiting {
  readonly dialect: string;
  /** Answers now with `draining` and gives its work up. */
  shutDown(): void;
}

export class Lifecycle {
  phase: Phase = 'serving';
  readonly #waiting = new Set<Waiting>();

  enter(request: Waiting): void {
    this.#waiting.add(request);
  }

  leave(request: Waiting): void {
    this.#waiting.delete(request);
  }

  countOf(dialect: string): number {
    let count = 0;
    for (const request of this.#waiting) if (request.dialect === dialect) count++;
    return count;
  }

  shutDownAll(): void {
    for (const request of this.#waiting) request.shutDown();
  }
}
