// Places for things that come and go by the thousand each second: taking and giving back costs an array access.
// A place that was given back holds nothing, see live-map.ts for why that matters.

export class LiveList<Value> {
  readonly #places: (Value | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#places.length - this.#free.length;
  }

  /** The number of the place; it is used again after `delete`. */
  add(value: Value): number {
    const place = this.#free.pop() ?? this.#places.length;
    this.#places[place] = value;
    return place;
  }

  get(place: number): Value | undefined {
    return this.#places[place];
  }

  /** False for a place that is free already. */
  delete(place: number): boolean {
    if (this.#places[place] === undefined) return false;
    this.#places[place] = undefined;
    this.#free.push(place);
    return true;
  }

  /** Those who are there now; who comes and goes meanwhile does not matter. */
  values(): Value[] {
    return this.#places.filter((value) => value !== undefined);
  }
}
