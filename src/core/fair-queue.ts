// A line before something scarce: deficit round robin between tenants by weight, by priority within one (worker 5).
// Q1. While several tenants wait, each is served in proportion to its weight, whatever the lengths of their lines.
// Q2. Within a tenant the higher priority goes first, plus one point for each second waited; ties first in, first out.
// Q3. A tenant that may not go now keeps its turn; others go meanwhile.
// Pure and deterministic: the time is an argument, and every item costs one.

/** One item in the line; `leave` takes it out again. */
export interface Waiting<T> {
  readonly item: T;
  readonly tenantId: string;
}

export interface FairOrder {
  readonly tenantId: string;
  /** Turns of this tenant in a round; 1 if absent. The newest item's counts. */
  readonly weight?: number | undefined;
  /** 0 if absent. */
  readonly priority?: number | undefined;
  /** When it came. */
  readonly nowMs: number;
}

const MS_PER_POINT = 1_000;

interface Entry<T> extends Waiting<T> {
  readonly line: Line<T>;
  /** Higher goes first. Waiting raises all alike, so that the moment of coming stands for it once and for ever. */
  readonly rank: number;
  readonly seq: number;
  /** In the heap; -1 once it is out. */
  place: number;
}

/** The items of one tenant, as a heap. */
interface Line<T> {
  readonly tenantId: string;
  readonly heap: Entry<T>[];
  weight: number;
  /** Turns left in this round. */
  turns: number;
}

const always = (): boolean => true;

export class FairQueue<T> {
  /** The tenants that wait, the next one first. */
  readonly #lines = new Map<string, Line<T>>();
  #seq = 0;
  #size = 0;
  #weight = 0;

  get size(): number {
    return this.#size;
  }

  /** Tenants that wait. */
  get tenants(): number {
    return this.#lines.size;
  }

  /** Of the tenants that wait, together. */
  get weight(): number {
    return this.#weight;
  }

  sizeOf(tenantId: string): number {
    return this.#lines.get(tenantId)?.heap.length ?? 0;
  }

  add(item: T, { tenantId, weight = 1, priority = 0, nowMs }: FairOrder): Waiting<T> {
    let line = this.#lines.get(tenantId);
    if (line === undefined) {
      line = { tenantId, heap: [], weight: 0, turns: 0 };
      this.#lines.set(tenantId, line);
    }
    this.#weight += Math.max(1, weight) - line.weight;
    line.weight = Math.max(1, weight);
    const rank = priority * MS_PER_POINT - nowMs;
    const entry: Entry<T> = { item, tenantId, line, rank, seq: this.#seq++, place: line.heap.length };
    line.heap.push(entry);
    rise(line.heap, entry);
    this.#size++;
    return entry;
  }

  /** Takes out the item whose turn it is; undefined when nobody waits who may go. */
  next(mayGo: (tenantId: string, weight: number) => boolean = always): T | undefined {
    for (const line of this.#lines.values()) {
      if (!mayGo(line.tenantId, line.weight)) continue;
      const [first] = line.heap;
      if (first === undefined) continue;
      if (line.turns === 0) line.turns = line.weight;
      line.turns--;
      this.#take(first);
      if (line.turns === 0 && line.heap.length > 0) {
        this.#lines.delete(line.tenantId);
        this.#lines.set(line.tenantId, line);
      }
      return first.item;
    }
    return undefined;
  }

  /** Takes an item out of its turn; false if it is out already. */
  leave(waiting: Waiting<T>): boolean {
    const entry = waiting as Entry<T>;
    if (entry.place < 0) return false;
    this.#take(entry);
    return true;
  }

  /** Takes out all, in no order that matters. */
  clear(): readonly T[] {
    const all = [...this.#lines.values()].flatMap(({ heap }) => heap);
    for (const entry of all) entry.place = -1;
    this.#lines.clear();
    this.#size = 0;
    this.#weight = 0;
    return all.map(({ item }) => item);
  }

  #take(entry: Entry<T>): void {
    const { heap, tenantId, weight } = entry.line;
    const last = heap.pop();
    if (last !== undefined && last !== entry) {
      last.place = entry.place;
      heap[entry.place] = last;
      rise(heap, last);
      sink(heap, last);
    }
    entry.place = -1;
    this.#size--;
    if (heap.length > 0) return;
    this.#lines.delete(tenantId);
    this.#weight -= weight;
  }
}

const isBefore = <T>(a: Entry<T>, b: Entry<T>): boolean => (a.rank === b.rank ? a.seq < b.seq : a.rank > b.rank);

function rise<T>(heap: Entry<T>[], entry: Entry<T>): void {
  for (;;) {
    const parent = heap[(entry.place - 1) >> 1];
    if (entry.place === 0 || parent === undefined || !isBefore(entry, parent)) return;
    swap(heap, entry, parent);
  }
}

function sink<T>(heap: Entry<T>[], entry: Entry<T>): void {
  for (;;) {
    const left = heap[2 * entry.place + 1];
    const right = heap[2 * entry.place + 2];
    const child = left !== undefined && right !== undefined && isBefore(right, left) ? right : left;
    if (child === undefined || !isBefore(child, entry)) return;
    swap(heap, entry, child);
  }
}

function swap<T>(heap: Entry<T>[], a: Entry<T>, b: Entry<T>): void {
  heap[a.place] = b;
  heap[b.place] = a;
  [a.place, b.place] = [b.place, a.place];
}
