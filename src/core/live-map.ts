// A map of things that come and go by the thousand each second.
// Each value is kept in a box that `delete` empties. A plain map leaves its outgrown tables to the collector with all
// that they held, each table pointing to the next: requests that are long over would survive every young collection.

interface Box<Value> {
  value: Value | undefined;
}

export class LiveMap<Key, Value> {
  readonly #boxes = new Map<Key, Box<Value>>();

  get size(): number {
    return this.#boxes.size;
  }

  get(key: Key): Value | undefined {
    return this.#boxes.get(key)?.value;
  }

  has(key: Key): boolean {
    return this.#boxes.has(key);
  }

  set(key: Key, value: Value): void {
    this.#boxes.set(key, { value });
  }

  delete(key: Key): boolean {
    const box = this.#boxes.get(key);
    if (box === undefined) return false;
    box.value = undefined;
    return this.#boxes.delete(key);
  }

  clear(): void {
    for (const box of this.#boxes.values()) box.value = undefined;
    this.#boxes.clear();
  }

  /** Those that are there now; what comes and goes meanwhile does not matter. */
  values(): Value[] {
    const values: Value[] = [];
    for (const { value } of this.#boxes.values()) if (value !== undefined) values.push(value);
    return values;
  }
}
