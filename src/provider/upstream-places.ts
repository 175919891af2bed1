// The calls that the pool has: never more than its sockets, because its own line has no bound and keeps a call that was
// aborted, body and all, until a socket is free. Who finds no place waits here, as many again, and leaves without a trace.
import { atTurnEnd } from '../core/turn.ts';

/** `start` is called once, when there is a place, unless the call has left before. */
export interface Placed {
  start(): void;
}

export class UpstreamPlaces<T extends Placed> {
  readonly #max: number;
  readonly #line = new Set<T>();
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Takes a place, or one in the line; false when both are full. Nothing starts before this turn ends. */
  enter(call: T): boolean {
    if (this.#taken < this.#max) {
      this.#taken++;
      atTurnEnd(() => call.start());
      return true;
    }
    if (this.#line.size >= this.#max) return false;
    this.#line.add(call);
    return true;
  }

  /** Leaves the line. A call that has a place gives it back with `release`, once nobody keeps it any more. */
  leave(call: T): void {
    this.#line.delete(call);
  }

  /** The place goes to the one who waits longest. */
  release(): void {
    const next = this.#line.size === 0 ? undefined : this.#line.values().next().value;
    if (next === undefined) {
      this.#taken--;
      return;
    }
    this.#line.delete(next);
    atTurnEnd(() => next.start());
  }

  /** Empties the line. */
  clear(): readonly T[] {
    const left = [...this.#line];
    this.#line.clear();
    return left;
  }
}
