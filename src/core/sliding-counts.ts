// Counts of several kinds over the last seconds, in one-second slots. A count costs two additions; a second that passes
// costs the slots that it empties. Slots are allocated with the first count, so that an idle one is small.

export class SlidingCounts {
  readonly #kinds: number;
  #seconds: number;
  /** One row of `#kinds` numbers per second; the row of a second is its number modulo `#seconds`. */
  #slots: Uint32Array | undefined;
  readonly #sums: Float64Array;
  #newest = 0;

  /** The window is the running second and the `seconds - 1` before it. */
  constructor(kinds: number, seconds: number) {
    this.#kinds = kinds;
    this.#seconds = seconds;
    this.#sums = new Float64Array(kinds);
  }

  add(kind: number, nowMs: number): void {
    this.#slots ??= this.#begin(nowMs);
    this.#slide(nowMs);
    const place = (this.#newest % this.#seconds) * this.#kinds + kind;
    this.#slots[place] = (this.#slots[place] ?? 0) + 1;
    this.#sums[kind] = (this.#sums[kind] ?? 0) + 1;
  }

  sum(kind: number, nowMs: number): number {
    this.#slide(nowMs);
    return this.#sums[kind] ?? 0;
  }

  clear(): void {
    this.#slots = undefined;
    this.#sums.fill(0);
  }

  /** Changes the length of the window; what is older than the new one, or was older than the old one, is gone. */
  resize(seconds: number, nowMs: number): void {
    if (seconds === this.#seconds) return;
    const old = this.#slots;
    this.#slide(nowMs);
    const oldSeconds = this.#seconds;
    this.#seconds = seconds;
    if (old === undefined) return;
    const slots = new Uint32Array(seconds * this.#kinds);
    this.#sums.fill(0);
    for (let age = 0; age < Math.min(oldSeconds, seconds, this.#newest + 1); age++) {
      const from = ((this.#newest - age) % oldSeconds) * this.#kinds;
      const to = ((this.#newest - age) % seconds) * this.#kinds;
      for (let kind = 0; kind < this.#kinds; kind++) {
        const count = old[from + kind] ?? 0;
        slots[to + kind] = count;
        this.#sums[kind] = (this.#sums[kind] ?? 0) + count;
      }
    }
    this.#slots = slots;
  }

  #begin(nowMs: number): Uint32Array {
    this.#newest = secondOf(nowMs);
    return new Uint32Array(this.#seconds * this.#kinds);
  }

  /** Empties the slots of the seconds that have begun since the newest one. */
  #slide(nowMs: number): void {
    const second = secondOf(nowMs);
    if (this.#slots === undefined || second <= this.#newest) return;
    const first = Math.max(this.#newest + 1, second - this.#seconds + 1);
    for (let begun = first; begun <= second; begun++) this.#empty(this.#slots, (begun % this.#seconds) * this.#kinds);
    this.#newest = second;
  }

  #empty(slots: Uint32Array, row: number): void {
    for (let kind = 0; kind < this.#kinds; kind++) {
      this.#sums[kind] = (this.#sums[kind] ?? 0) - (slots[row + kind] ?? 0);
      slots[row + kind] = 0;
    }
  }
}

const secondOf = (nowMs: number): number => Math.floor(nowMs / 1_000);
