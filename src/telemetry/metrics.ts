// Counters, gauges and histograms with bounded labels, rendered as Prometheus text 0.0.4.
// Own code, because the request path observes several per request: a child is resolved once and then costs a few additions.

export const LONG_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120] as const;

/** Waits inside the product (operations 12, FAST). */
export const FAST_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5] as const;
/** Work of providers and blocks (operations 12, LONG). */
export const ATTEMPT_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300] as const;

/** Children of one metric; above it further label values are counted under `other`. */
const CHILDREN_MAX = 2_000;
const OTHER = 'other';

export interface Counter {
  add(amount?: number): void;
}

export interface Gauge {
  set(value: number): void;
}

export interface Histogram {
  observe(value: number): void;
}

type Labels = readonly string[];

interface Described {
  readonly name: string;
  readonly help: string;
  readonly labels?: Labels;
}

/** A metric with labels: `of` gives the child of one combination, in the order in which the labels were declared. */
export interface Family<Child> {
  of(...values: readonly string[]): Child;
}

class Scalar implements Counter, Gauge {
  value = 0;
  add(amount = 1): void {
    this.value += amount;
  }
  set(value: number): void {
    this.value = value;
  }
  render(name: string, labels: string): string {
    return `${name}${labels === '' ? '' : `{${labels}}`} ${this.value}\n`;
  }
}

class Buckets implements Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let slot = 0;
    while (slot < this.#bounds.length && value > (this.#bounds[slot] ?? 0)) slot++;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + 1;
    this.#sum += value;
  }

  render(name: string, labels: string): string {
    const comma = labels === '' ? '' : `${labels},`;
    let total = 0;
    let text = '';
    for (const [slot, bound] of [...this.#bounds, '+Inf'].entries()) {
      total += this.#counts[slot] ?? 0;
      text += `${name}_bucket{${comma}le="${bound}"} ${total}\n`;
    }
    const own = labels === '' ? '' : `{${labels}}`;
    return `${text}${name}_sum${own} ${this.#sum}\n${name}_count${own} ${total}\n`;
  }
}

interface Rendered {
  render(name: string, labels: string): string;
}

/** One label value and what it leads to: the next label's values, or, after the last one, the child. */
interface Branch<Child> {
  readonly branches: Map<string, Branch<Child>>;
  child: Child | undefined;
}

const branch = <Child>(): Branch<Child> => ({ branches: new Map(), child: undefined });

class Children<Child extends Rendered> implements Family<Child> {
  readonly described: Described;
  readonly type: string;
  readonly #make: () => Child;
  readonly #root = branch<Child>();
  #count = 0;

  constructor(described: Described, type: string, make: () => Child) {
    this.described = described;
    this.type = type;
    this.#make = make;
  }

  of(...values: readonly string[]): Child {
    let here = this.#root;
    for (const value of values) {
      let next = here.branches.get(value);
      if (next === undefined) {
        if (this.#count >= CHILDREN_MAX && values[0] !== OTHER) return this.of(...values.map(() => OTHER));
        next = branch();
        here.branches.set(value, next);
      }
      here = next;
    }
    if (here.child === undefined) {
      here.child = this.#make();
      this.#count++;
    }
    return here.child;
  }

  render(): string {
    const { name, help } = this.described;
    return `# HELP ${name} ${help}\n# TYPE ${name} ${this.type}\n${this.#renderBranch(this.#root, [])}`;
  }

  #renderBranch({ child, branches }: Branch<Child>, values: readonly string[]): string {
    const { name, labels = [] } = this.described;
    const text = labels.map((label, i) => `${label}="${escapeLabel(values[i] ?? '')}"`).join(',');
    let lines = child === undefined ? '' : child.render(name, text);
    for (const [value, next] of branches) lines += this.#renderBranch(next, [...values, value]);
    return lines;
  }
}

const escapeLabel = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

/** All metrics of a process. Declaring one name twice gives the same family, so roles in one process can share. */
export class Metrics {
  readonly #families = new Map<string, Children<Rendered & Counter & Gauge> | Children<Buckets>>();
  readonly #beforeRender: (() => void)[] = [];

  counter(described: Described): Family<Counter> {
    return this.#declare(described, () => new Children(described, 'counter', () => new Scalar()));
  }

  gauge(described: Described): Family<Gauge> {
    return this.#declare(described, () => new Children(described, 'gauge', () => new Scalar()));
  }

  histogram(described: Described, bounds: readonly number[]): Family<Histogram> {
    return this.#declare(described, () => new Children(described, 'histogram', () => new Buckets(bounds)));
  }

  /** Sets gauges that are cheaper to read than to keep. */
  beforeRender(read: () => void): void {
    this.#beforeRender.push(read);
  }

  render(): string {
    for (const read of this.#beforeRender) read();
    return [...this.#families.values()].map((family) => family.render()).join('');
  }

  #declare<Child>(described: Described, make: () => unknown): Family<Child> {
    const known = this.#families.get(described.name) ?? make();
    this.#families.set(described.name, known as Children<Buckets>);
    return known as Family<Child>;
  }
}
