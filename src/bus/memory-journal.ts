// The journal under the memory bus: streams, buckets and what consumers are done with outlive the process.
// K1. `append` and writes of buckets resolve when they are on the disk; acknowledgements may be lost, which a redelivery mends.
// K2. What is read may be ahead of the disk for some milliseconds; deliveries are not.
// K3. The journal is written anew when it has doubled since the last time, so that at most half of it, and a step, is over.
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import { type Journal, openJournal } from '../store/journal.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { type BusRecord, Left } from './memory-left.ts';
import { BucketRecorder, type RecordSink, StreamRecorder } from './memory-recorder.ts';

/** What one process may keep in its memory, as text; a tenth is left for what comes while it is written anew. */
const BYTES_MAX = 1024 ** 3;
const FILLED_AT_MOST = 0.9;
/** A journal is not written anew for less than this. */
const STEP_BYTES = 16 * 1_048_576;
/** A full journal is written anew at most this often. */
const FULL_PAUSE_MS = 1_000;

export interface BusJournalOptions {
  readonly folder: string;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly bytesMax?: number;
  readonly stepBytes?: number;
}

/** Throws `unavailable` for a folder that another process works with. */
export async function openBusJournal(options: BusJournalOptions): Promise<BusJournal> {
  const { folder, telemetry, bytesMax = BYTES_MAX, timers, stepBytes = STEP_BYTES } = options;
  const left = new Left();
  const journal = await openJournal({ folder, bytesMax, telemetry, onRecord: (record) => left.take(record) });
  return new BusJournal(journal, left, { clock: timers.clock, stepBytes, bytesMax });
}

interface Limits {
  readonly clock: Clock;
  readonly stepBytes: number;
  readonly bytesMax: number;
}

export class BusJournal implements RecordSink {
  readonly clock: Clock;
  readonly #journal: Journal;
  readonly #stepBytes: number;
  readonly #rewriteAtMost: number;
  readonly #streams = new Map<string, StreamRecorder>();
  readonly #buckets = new Map<string, BucketRecorder>();
  #rewriteAt: number;
  #isRewriting = false;
  #fullUntilMs = 0;

  constructor(journal: Journal, { streams, buckets }: Left, { clock, stepBytes, bytesMax }: Limits) {
    this.#journal = journal;
    this.#stepBytes = stepBytes;
    this.#rewriteAtMost = FILLED_AT_MOST * bytesMax;
    this.clock = clock;
    this.#rewriteAt = stepBytes;
    for (const [subject, left] of streams) this.#streams.set(subject, new StreamRecorder(subject, this, left));
    for (const [name, left] of buckets) this.#buckets.set(name, new BucketRecorder(name, this, left));
  }

  /** The subjects of the streams that it knows. */
  get subjects(): readonly string[] {
    return [...this.#streams.keys()];
  }

  /** The names of the buckets that it knows. */
  get bucketNames(): readonly string[] {
    return [...this.#buckets.keys()];
  }

  stream(subject: string): StreamRecorder {
    const recorder = this.#streams.get(subject) ?? new StreamRecorder(subject, this, undefined);
    this.#streams.set(subject, recorder);
    return recorder;
  }

  bucket(name: string): BucketRecorder {
    const recorder = this.#buckets.get(name) ?? new BucketRecorder(name, this, undefined);
    this.#buckets.set(name, recorder);
    return recorder;
  }

  write(record: BusRecord): Promise<void> {
    try {
      const kept = this.#journal.append(JSON.stringify(record));
      this.#rewriteIfLarge();
      return kept;
    } catch (thrown) {
      this.#rewriteIfFull(thrown);
      throw thrown;
    }
  }

  note(record: BusRecord): void {
    this.#journal.appendUnsynced(JSON.stringify(record));
    this.#rewriteIfLarge();
  }

  synced(): Promise<void> {
    return this.#journal.synced();
  }

  close(): Promise<void> {
    return this.#journal.close();
  }

  #rewriteIfLarge(): void {
    if (this.#journal.bytes > this.#rewriteAt) this.#rewrite();
  }

  #rewriteIfFull(fault: unknown): void {
    if (!(fault instanceof BeamlineError) || fault.details['reason'] !== 'journal_full') return;
    const nowMs = this.clock.nowMs();
    if (nowMs < this.#fullUntilMs) return;
    this.#fullUntilMs = nowMs + FULL_PAUSE_MS;
    this.#rewrite();
  }

  #rewrite(): void {
    if (this.#isRewriting) return;
    this.#isRewriting = true;
    // A failure is logged where it happens, and tried again a step later.
    void this.#journal
      .rewrite(() => texts([...this.#streams.values(), ...this.#buckets.values()].map((part) => part.records())))
      .catch(() => undefined)
      .finally(() => {
        this.#isRewriting = false;
        const { bytes } = this.#journal;
        this.#rewriteAt = Math.max(bytes + this.#stepBytes, Math.min(2 * bytes, this.#rewriteAtMost));
      });
  }
}

function* texts(parts: readonly Iterable<BusRecord>[]): Generator<string, void> {
  for (const part of parts) for (const record of part) yield JSON.stringify(record);
}
