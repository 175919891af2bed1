// Results that their stream has not confirmed yet, in a file: what a worker knows of money survives the process (worker 9).
// O1. A record is written before anybody is told that the attempt ended; the disk has it `syncMs` later at most.
// O2. What an earlier process left is published first; a record goes when its result is confirmed, so one is published
//     twice rather than never.
// O3. At `bytesMax` new work is refused. Work that was accepted still finds room.
import { join } from 'node:path';
import { type ExecResult, execResult } from '../contracts/result.ts';
import type { Timers } from '../core/timers.ts';
import { type Journal, openJournal } from '../store/journal.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { ConfirmedResults } from './confirmed-results.ts';

/** A smaller file is not worth writing anew, unless it may not become much larger. */
const REWRITE_FROM_BYTES = 16 * 1_048_576;
const REWRITE_SHARE = 1 / 4;
/** The room beyond `bytesMax` for the results of what runs. */
const ROOM_BYTES = 256 * 1_048_576;

export interface OutboxRecord {
  readonly id: number;
  readonly result: ExecResult;
  readonly traceId: string;
}

export interface OutboxOptions {
  readonly folder: string;
  readonly bytesMax: number;
  /** Longest time that a record is not on the disk; 0 waits for the disk with each one. */
  readonly syncMs: number;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
}

/** A line of the file: a result, or that the result of that number was confirmed. */
type Line = { readonly id: number; readonly trace: string; readonly result: unknown } | { readonly sent: number };

export class Outbox implements AsyncDisposable {
  #left: readonly OutboxRecord[];
  readonly #options: OutboxOptions;
  readonly #journal: Journal;
  /** The lines of what is not confirmed. */
  readonly #lines: Map<number, string>;
  readonly #confirmed = new ConfirmedResults();
  #bytes: number;
  #nextId: number;
  #isBroken = false;
  #isDirty = false;
  #isRewriting = false;

  private constructor(options: OutboxOptions, journal: Journal, lines: Map<number, string>) {
    this.#options = options;
    this.#journal = journal;
    this.#lines = lines;
    this.#bytes = [...lines.values()].reduce((sum, line) => sum + line.length, 0);
    this.#nextId = Math.max(0, ...lines.keys()) + 1;
    this.#left = [...lines.values()].flatMap((line) => recordIn(line) ?? []);
    const { metrics } = options.telemetry;
    const records = metrics.gauge({ name: 'worker_outbox_records', help: 'Results that are not confirmed.' }).of();
    const oldest = metrics
      .gauge({ name: 'worker_outbox_oldest_seconds', help: 'Age of the oldest result that is not confirmed.' })
      .of();
    metrics.beforeRender(() => {
      records.set(this.#lines.size);
      oldest.set(this.#oldestMs() / 1_000);
    });
  }

  /** Throws `unavailable` when another process has the folder. */
  static async open(options: OutboxOptions): Promise<Outbox> {
    const lines = new Map<number, string>();
    const journal = await openJournal({
      folder: join(options.folder, 'outbox'),
      bytesMax: options.bytesMax + ROOM_BYTES,
      telemetry: options.telemetry,
      onRecord(text) {
        const line = JSON.parse(text) as Line;
        if ('sent' in line) lines.delete(line.sent);
        else lines.set(line.id, text);
      },
    });
    return new Outbox(options, journal, lines);
  }

  /** What an earlier process left, oldest first; it is handed over, and not kept here. */
  takeLeft(): readonly OutboxRecord[] {
    const left = this.#left;
    this.#left = [];
    return left;
  }

  /** Results that are not confirmed. */
  get size(): number {
    return this.#lines.size;
  }

  /** Whether it cannot be written any more. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** True when no new work may be taken. */
  get isFull(): boolean {
    return this.#isBroken || this.#journal.bytes >= this.#options.bytesMax;
  }

  /** Calls `written` when a crash of this process can no longer lose the result, or when nothing can keep it. */
  put(result: ExecResult, traceId: string, written: (record: OutboxRecord) => void): void {
    const record: OutboxRecord = { id: this.#nextId++, result, traceId };
    const line = JSON.stringify({ id: record.id, trace: traceId, result } satisfies Line);
    this.#lines.set(record.id, line);
    this.#bytes += line.length;
    const go = (): void => written(record);
    this.#write(line).then(go, (fault: unknown) => {
      this.#fail(fault);
      go();
    });
  }

  /** The result is confirmed; under a key `confirmed` still finds it for a while. */
  published({ id }: OutboxRecord, key?: string): void {
    const line = this.#lines.get(id);
    if (line === undefined) return;
    if (key !== undefined) this.#confirmed.add(key, line);
    this.#lines.delete(id);
    this.#bytes -= line.length;
    if (this.#isBroken) return;
    // One that is lost is published once more, which changes nothing.
    this.#journal.appendUnsynced(JSON.stringify({ sent: id } satisfies Line));
    this.#rewriteIfWorth();
  }

  /** Undefined for one that is long ago, or of another process. */
  confirmed(key: string): OutboxRecord | undefined {
    const line = this.#confirmed.get(key);
    return line === undefined ? undefined : recordIn(line);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#journal.close();
  }

  /** By the time in the oldest record, which is read now: nothing is kept for it. */
  #oldestMs(): number {
    const [line] = this.#lines.values();
    const record = line === undefined ? undefined : recordIn(line);
    const writtenMs = record?.result.timestamp;
    return writtenMs === undefined ? 0 : Math.max(0, this.#options.timers.clock.epochMs() - writtenMs);
  }

  async #write(line: string): Promise<void> {
    if (this.#isBroken) return;
    if (this.#options.syncMs === 0) return this.#journal.append(line);
    this.#syncSoon();
    return this.#journal.appendWritten(line);
  }

  #syncSoon(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#options.timers.after(this.#options.syncMs, () => {
      this.#isDirty = false;
      this.#journal.syncWritten().catch((fault: unknown) => this.#fail(fault));
    });
  }

  /** Once it cannot be written nothing new is taken; what runs is published without it. */
  #fail(fault: unknown): void {
    if (!this.#isBroken) this.#options.telemetry.log.error('outbox_failed', { fault });
    this.#isBroken = true;
  }

  #rewriteIfWorth(): void {
    const { bytes } = this.#journal;
    const worthBytes = Math.min(REWRITE_FROM_BYTES, this.#options.bytesMax * REWRITE_SHARE);
    if (this.#isRewriting || bytes < worthBytes || bytes < 2 * this.#bytes) return;
    this.#isRewriting = true;
    this.#journal
      .rewrite(() => [...this.#lines.values()])
      .catch((fault: unknown) => this.#fail(fault))
      .finally(() => {
        this.#isRewriting = false;
      });
  }
}

/** Undefined for a result that this version cannot send. */
function recordIn(text: string): OutboxRecord | undefined {
  const line = JSON.parse(text) as Line;
  if ('sent' in line || !execResult.message.check(line.result)) return undefined;
  return { id: line.id, result: line.result, traceId: line.trace };
}
