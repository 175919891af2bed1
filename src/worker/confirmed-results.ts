// Results that their stream has confirmed, for a while: a server that is killed may lose what it confirmed, and whoever
// misses one sends its attempt again (contracts 3.4: the stored result is published again).
/** Characters of all that is kept; the oldest go first. */
const CHARS_MAX = 4_194_304;

export class ConfirmedResults {
  readonly #lines = new Map<string, string>();
  #chars = 0;

  add(key: string, line: string): void {
    this.#remove(key);
    this.#lines.set(key, line);
    this.#chars += line.length;
    for (const oldest of this.#lines.keys()) {
      if (this.#chars <= CHARS_MAX) return;
      this.#remove(oldest);
    }
  }

  get(key: string): string | undefined {
    return this.#lines.get(key);
  }

  #remove(key: string): void {
    const line = this.#lines.get(key);
    if (line === undefined) return;
    this.#lines.delete(key);
    this.#chars -= line.length;
  }
}
