// The newest decision records of a router without a data directory, in memory: texts, which cost a collection nothing.
import type { RequestRecord, ShadowRecord } from '../policy/decision-record.ts';
import type { LogLine, RecordSink } from './decision-log.ts';
import { isOf, type KeptRecord, type KeptRecords } from './kept-records.ts';

const LINES_MAX = 5_000;
const CHARS_MAX = 8_388_608;

export class DecisionRing implements RecordSink, KeptRecords {
  readonly #linesMax: number;
  readonly #charsMax: number;
  #lines: LogLine[] = [];
  #first = 0;
  #chars = 0;

  constructor({ linesMax = LINES_MAX, charsMax = CHARS_MAX }: { linesMax?: number; charsMax?: number } = {}) {
    this.#linesMax = linesMax;
    this.#charsMax = charsMax;
  }

  async write(lines: readonly LogLine[]): Promise<void> {
    for (const line of lines) {
      this.#lines.push(line);
      this.#chars += line.text.length;
    }
    while (this.#lines.length - this.#first > this.#linesMax || this.#chars > this.#charsMax) {
      this.#chars -= this.#lines[this.#first++]?.text.length ?? 0;
    }
    // The old ones go together, so that a line costs the same whether the ring is full or not.
    if (this.#first <= this.#linesMax) return;
    this.#lines = this.#lines.slice(this.#first);
    this.#first = 0;
  }

  *read(): Iterable<KeptRecord | undefined> {
    // Those that are there now: what is written meanwhile moves them.
    for (const line of this.#lines.slice(this.#first)) yield kept(line);
  }

  *find(tenantId: string, requestId: string): Iterable<KeptRecord | undefined> {
    const needle = JSON.stringify(requestId);
    for (const line of this.#lines.slice(this.#first)) {
      const found = line.text.includes(needle) ? kept(line) : undefined;
      yield found !== undefined && isOf(found.entry, tenantId, requestId) ? found : undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lines = [];
    this.#first = 0;
    this.#chars = 0;
  }
}

/** Undefined for what is of a copy, and for what was metered, which only reports from files read. */
function kept({ text, policy }: LogLine): KeptRecord | undefined {
  // Written by this process a moment ago.
  const entry = JSON.parse(text) as RequestRecord | ShadowRecord;
  return entry.type === 'shadow' || entry.type === 'usage' ? undefined : { entry, own: () => policy };
}
