// Who listens on a subject of the memory bus: a Map for exact subjects, a short list for patterns, and a bounded memory
// of what matched. Lists are replaced, never changed, so a handler may subscribe or let go while messages are given out.

const REMEMBERED_MAX = 4_096;

interface Listening<L> {
  readonly queue: string | undefined;
  readonly listener: L;
}

interface Group<L> {
  readonly members: L[];
  turn: number;
}

/** The listeners of one subject: everyone without a queue, and one member of each queue group by turns. */
class Route<L> {
  readonly #alone: L[] = [];
  readonly #groups: Group<L>[];

  constructor(listenings: readonly Listening<L>[]) {
    const groups = new Map<string, Group<L>>();
    for (const { queue, listener } of listenings) {
      if (queue === undefined) this.#alone.push(listener);
      else if (groups.get(queue)?.members.push(listener) === undefined)
        groups.set(queue, { members: [listener], turn: 0 });
    }
    this.#groups = [...groups.values()];
  }

  /** Those who get the next message. */
  next(): readonly L[] {
    const [first] = this.#groups;
    if (first === undefined) return this.#alone;
    if (this.#groups.length === 1 && first.members.length === 1 && this.#alone.length === 0) return first.members;
    const chosen = this.#alone.slice();
    for (const group of this.#groups) {
      const member = group.members[group.turn++ % group.members.length];
      if (member !== undefined) chosen.push(member);
    }
    return chosen;
  }
}

export class Routes<L> {
  readonly #exact = new Map<string, readonly Listening<L>[]>();
  #patterns: readonly { readonly tokens: readonly string[]; readonly listening: Listening<L> }[] = [];
  readonly #remembered = new Map<string, Route<L>>();
  #isLastWild = true;

  /** Adds a listener on a subject or a pattern with `*`; the answer removes it. */
  add(subject: string, queue: string | undefined, listener: L): () => void {
    const listening: Listening<L> = { queue, listener };
    this.#remembered.clear();
    if (subject.includes('*')) {
      this.#patterns = [...this.#patterns, { tokens: subject.split('.'), listening }];
      this.#isLastWild = this.#patterns.every(({ tokens }) => tokens.at(-1) === '*');
    } else {
      this.#exact.set(subject, [...(this.#exact.get(subject) ?? []), listening]);
    }
    return () => this.#remove(subject, listening);
  }

  to(subject: string): Route<L> {
    return this.#remembered.get(subject) ?? this.#rememberedByPrefix(subject);
  }

  /** Where every pattern ends with `*`, subjects that differ in the last token alone have the same listeners. */
  #rememberedByPrefix(subject: string): Route<L> {
    if (!this.#isLastWild || this.#exact.has(subject)) return this.#find(subject, subject);
    const prefix = subject.slice(0, subject.lastIndexOf('.') + 1);
    return this.#remembered.get(prefix) ?? this.#find(subject, prefix);
  }

  #find(subject: string, remembered: string): Route<L> {
    const found = [...(this.#exact.get(subject) ?? [])];
    if (this.#patterns.length > 0) {
      const tokens = subject.split('.');
      for (const pattern of this.#patterns) if (matches(pattern.tokens, tokens)) found.push(pattern.listening);
    }
    const route = new Route(found);
    if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
    this.#remembered.set(remembered, route);
    return route;
  }

  #remove(subject: string, listening: Listening<L>): void {
    this.#remembered.clear();
    this.#patterns = this.#patterns.filter((pattern) => pattern.listening !== listening);
    this.#isLastWild = this.#patterns.every(({ tokens }) => tokens.at(-1) === '*');
    const rest = this.#exact.get(subject)?.filter((other) => other !== listening) ?? [];
    if (rest.length > 0) this.#exact.set(subject, rest);
    else this.#exact.delete(subject);
  }
}

const matches = (pattern: readonly string[], tokens: readonly string[]): boolean =>
  pattern.length === tokens.length && pattern.every((token, i) => token === '*' || token === tokens[i]);
