// Answers that the policy store may call unchanged: kept by address with their ETag, the least used go first.
import type { HeirAnswer } from './heir-answer.ts';

const ANSWERS_MAX = 64;
const BODY_BYTES_MAX = 65_536;

interface Kept {
  readonly etag: string;
  readonly answer: HeirAnswer;
}

export class KeptAnswers {
  readonly #kept = new Map<string, Kept>();

  find(path: string): Kept | undefined {
    const kept = this.#kept.get(path);
    if (kept === undefined) return undefined;
    this.#kept.delete(path);
    this.#kept.set(path, kept);
    return kept;
  }

  /** Forgets what was there; keeps a 200 of moderate size that has an ETag. */
  keep(path: string, answer: HeirAnswer): void {
    this.#kept.delete(path);
    if (answer.status !== 200 || answer.etag === undefined || answer.bytes > BODY_BYTES_MAX) return;
    this.#kept.set(path, { etag: answer.etag, answer });
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= ANSWERS_MAX) break;
      this.#kept.delete(oldest);
    }
  }
}
