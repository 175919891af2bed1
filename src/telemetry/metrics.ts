// Counters, gauges and histograms with bounded labels, rendered as Prometheus text 0.0.4.
// Own code, because the request path observes several per request: a child is resolved once and then costs a few additions.

export const FAST_SECONDS = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1] as const;
export const LONG_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120] as const;

/** Children of one metric; above it further label values are counted under `other`. */
const CHILDREN_MAX = 2_000;

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

class Children<Child extends Rendered> implements Family<Child> {
  readonly described: Described;
  readonly type: string;
  readonly #make: () => Child;
  readonly #children = new Map<string, Child>();

  constructor(described: Described, type: string, make: () => Child) {
    this.described = described;
    this.type = type;
    this.#make = make;
  }

  of(...values: readonly string[]): Child {
    const key = values.length === 1 ? (values[0] ?? '') : values.join('\u0000');
    const child = this.#children.get(key);
    if (child !== undefined) return child;
    if (this.#children.size >= CHILDREN_MAX) return this.of(...values.map(() => 'other'));
    const made = this.#make();
    this.#children.set(key, made);
    return made;
  }

  render(): string {
    const { name, help, labels = [] } = this.described;
    let text = `# HELP ${name} ${help}\n# TYPE ${name} ${this.type}\n`;
    for (const [key, child] of this.#children) {
      const values = labels.length === 0 ? [] : key.split('\u0000');
      text += child.render(name, labels.map((label, i) => `${label}="${escapeLabel(values[i] ?? '')}"`).join(','));
    }
    return text;
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
