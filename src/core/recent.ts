// A bounded memory of keys: the newest `max` at least, twice as many at most.
// Two generations instead of one ordered map, because evicting the oldest entry of a map of thousands walks over the
// holes that earlier evictions left.

export class Recent<Value> {
  readonly #max: number;
  #young = new Map<string, Value>();
  #old = new Map<string, Value>();

  constructor(max: number) {
    this.#max = max;
  }

  get(key: string): Value | undefined {
    // An empty one costs no hash of the key.
    const young = this.#young.size === 0 ? undefined : this.#young.get(key);
    return young ?? (this.#old.size === 0 ? undefined : this.#old.get(key));
  }

  has(key: string): boolean {
    return this.#young.has(key) || this.#old.has(key);
  }

  set(key: string, value: Value): void {
    if (this.#young.size >= this.#max) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }

  delete(key: string): boolean {
    const wasYoung = this.#young.delete(key);
    return this.#old.delete(key) || wasYoung;
  }
}
