// Puts the frames of one assignment in order: repeats and superseded attempts are dropped, a gap is held open.
// Frames of one sender arrive in order on every bus, so a gap means a lost frame unless it closes by itself.
import type { StreamFrame } from '../contracts/frames.ts';

/** Frames that wait behind a gap; above it the gap counts as lost at once. */
const HELD_MAX = 64;

interface Held {
  readonly frame: StreamFrame;
  /** A gap before it is open since then at the latest. */
  readonly sinceMs: number;
}

export class FrameOrder {
  readonly assignmentId: string;
  #attempt: number;
  #nextSeq = 0;
  /** Frames behind the gap by their `seq`, the first that came first. */
  #held: Map<number, Held> | undefined;
  /** Nothing is to be expected of it any more. */
  isEnded = false;

  constructor(assignmentId: string, attempt: number) {
    this.assignmentId = assignmentId;
    this.#attempt = attempt;
  }

  get attempt(): number {
    return this.#attempt;
  }

  /** The moment on the monotonic clock when the gap that is open now was seen; undefined without one. */
  get gapSinceMs(): number | undefined {
    return this.#held?.values().next().value?.sinceMs;
  }

  get isOverfull(): boolean {
    return (this.#held?.size ?? 0) > HELD_MAX;
  }

  /** Whether a frame may be read now; one behind a gap is kept for `next`. Frames of the router have no order here. */
  admit(frame: StreamFrame, nowMs: number): boolean {
    if (frame.attempt < this.#attempt) return false;
    if (frame.attempt > this.#attempt) this.#begin(frame.attempt);
    if (frame.origin === 'router') return true;
    if (frame.seq === this.#nextSeq) {
      this.#nextSeq++;
      return true;
    }
    if (frame.seq > this.#nextSeq) {
      this.#held ??= new Map();
      if (!this.#held.has(frame.seq)) this.#held.set(frame.seq, { frame, sinceMs: nowMs });
    }
    return false;
  }

  /** The frame that a closed gap sets free, one at a time. */
  next(): StreamFrame | undefined {
    const held = this.#held?.get(this.#nextSeq);
    if (held === undefined) return undefined;
    this.#held?.delete(this.#nextSeq++);
    return held.frame;
  }

  #begin(attempt: number): void {
    this.#attempt = attempt;
    this.#nextSeq = 0;
    this.#held = undefined;
  }
}
