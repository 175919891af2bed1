// A map of things that come and go by the thousand each second, under texts.
// Open addressing in arrays that stay. A plain map leaves each outgrown table to the collector, pointing to the next one:
// once one of them is old, every later table is kept with its keys until a full collection, and requests that are long
// over weigh on each young one.
import { randomInt } from 'node:crypto';
import { finish, fold } from './hash.ts';

/** No caller can choose texts that all fall on one place. */
const SEED = randomInt(2 ** 32);
const PLACES_MIN = 16;

export class LiveMap<Value> {
  #keys: (string | undefined)[] = [];
  #values: (Value | undefined)[] = [];
  #hashes = new Uint32Array(PLACES_MIN);
  #size = 0;

  constructor() {
    this.clear();
  }

  get size(): number {
    return this.#size;
  }

  get(key: string): Value | undefined {
    return this.#values[this.#placeOf(key, hashOf(key))];
  }

  has(key: string): boolean {
    return this.#keys[this.#placeOf(key, hashOf(key))] !== undefined;
  }

  set(key: string, value: Value): void {
    const hash = hashOf(key);
    const place = this.#placeOf(key, hash);
    if (this.#keys[place] === undefined) this.#size++;
    this.#put(place, key, value, hash);
    // Half of the places are always free, so that none is searched for long.
    if (this.#size * 2 > this.#keys.length) this.#grow();
  }

  delete(key: string): boolean {
    const place = this.#placeOf(key, hashOf(key));
    if (this.#keys[place] === undefined) return false;
    this.#size--;
    this.#close(place);
    return true;
  }

  clear(): void {
    this.#size = 0;
    this.#allocate(PLACES_MIN);
  }

  /** Those that are there now; what comes and goes meanwhile does not matter. */
  values(): Value[] {
    return this.#values.filter((_, place) => this.#keys[place] !== undefined) as Value[];
  }

  /** Where the key is, or the free place where it belongs. */
  #placeOf(key: string, hash: number): number {
    const mask = this.#keys.length - 1;
    let place = hash & mask;
    for (;;) {
      const found = this.#keys[place];
      if (found === undefined || (this.#hashes[place] === hash && found === key)) return place;
      place = (place + 1) & mask;
    }
  }

  #put(place: number, key: string, value: Value, hash: number): void {
    this.#keys[place] = key;
    this.#values[place] = value;
    this.#hashes[place] = hash;
  }

  /** Moves back whom the free place would cut off from where the search for them begins. */
  #close(place: number): void {
    const mask = this.#keys.length - 1;
    let free = place;
    for (let next = (free + 1) & mask; ; next = (next + 1) & mask) {
      const key = this.#keys[next];
      if (key === undefined) break;
      const hash = this.#hashes[next] ?? 0;
      if (((next - hash) & mask) < ((next - free) & mask)) continue;
      this.#put(free, key, this.#values[next] as Value, hash);
      free = next;
    }
    this.#keys[free] = undefined;
    this.#values[free] = undefined;
  }

  #grow(): void {
    const [keys, values, hashes] = [this.#keys, this.#values, this.#hashes];
    this.#allocate(keys.length * 2);
    for (const [place, key] of keys.entries()) {
      if (key === undefined) continue;
      const hash = hashes[place] ?? 0;
      this.#put(this.#placeOf(key, hash), key, values[place] as Value, hash);
    }
  }

  #allocate(places: number): void {
    this.#keys = Array.from({ length: places }, () => undefined);
    this.#values = Array.from({ length: places }, () => undefined);
    this.#hashes = new Uint32Array(places);
  }
}

const hashOf = (key: string): number => finish(fold(SEED, key));
