// The last good state of the policies in a file, for a start while their source is out of reach (policy 12.1).
// A file whose checksum is wrong, or that another kind of source wrote, is no snapshot.
import { createHash } from 'node:crypto';
import type { Timer, Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { PolicyReplica } from './policy-replica.ts';
import { readRecord } from './policy-record.ts';
import type { PolicyListener, PolicyRecord, PolicySource } from './policy-source.ts';

const WRITE_EVERY_MS = 1_000;
/** `{"checksum":"<64 hex>","body":<JSON>}`: the checksum is that of the body's text as it stands in the file. */
const FORM = /^\{"checksum":"(?<checksum>[0-9a-f]{64})","body":(?<body>.*)\}\n$/s;

/** One file: roles open nothing themselves. */
export interface SnapshotFile {
  /** Undefined if there is none. */
  read(): Promise<string | undefined>;
  /** Replaces the whole content at once. */
  write(text: string): Promise<void>;
}

interface Body {
  readonly saved_at_ms: number;
  readonly source: PolicySource['kind'];
  readonly records: readonly PolicyRecord[];
}

export interface SnapshotOptions {
  readonly replica: PolicyReplica;
  readonly source: PolicySource['kind'];
  readonly file: SnapshotFile;
  readonly timers: Timers;
  readonly log: Log;
}

/** Hears the source, hands on to the replica, and writes what the replica then holds at most once per second. */
export class PolicySnapshot implements PolicyListener, AsyncDisposable {
  readonly #options: SnapshotOptions;
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(options: SnapshotOptions) {
    this.#options = options;
  }

  all(records: readonly PolicyRecord[]): void {
    this.#options.replica.all(records);
    this.#soon();
  }

  changed(record: PolicyRecord): void {
    this.#options.replica.changed(record);
    this.#soon();
  }

  extensionChanged(id: string): void {
    this.#options.replica.extensionChanged(id);
    this.#soon();
  }

  unreachable(fault: unknown): void {
    this.#options.replica.unreachable(fault);
  }

  /** Gives the replica what the file has; a file that cannot be used is told of and left alone. */
  async restore(): Promise<void> {
    const { file, log, source, replica } = this.#options;
    try {
      const text = await file.read();
      if (text === undefined) return;
      const body = bodyOf(text);
      if (body?.source === source) replica.restore(body.records, body.saved_at_ms);
      else log.error('policy_snapshot_refused', { source });
    } catch (fault) {
      log.error('policy_snapshot_unreadable', { source, fault });
    }
  }

  /** Writes what is still to be written. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#timer !== undefined) this.#write();
    await this.#writing;
  }

  #soon(): void {
    this.#timer ??= this.#options.timers.at(this.#lastMs + WRITE_EVERY_MS, () => this.#write());
  }

  #write(): void {
    const { replica, source, file, timers, log } = this.#options;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#lastMs = timers.clock.nowMs();
    const body: Body = { saved_at_ms: timers.clock.epochMs(), source, records: replica.records() };
    const text = JSON.stringify(body);
    this.#writing = this.#writing
      .then(() => file.write(`{"checksum":"${checksumOf(text)}","body":${text}}\n`))
      .catch((fault: unknown) => log.warn('policy_snapshot_failed', { fault }));
  }
}

const checksumOf = (text: string): string => createHash('sha256').update(text).digest('hex');

function bodyOf(text: string): Body | undefined {
  const { checksum, body } = FORM.exec(text)?.groups ?? {};
  if (body === undefined || checksumOf(body) !== checksum) return undefined;
  const parsed = JSON.parse(body) as Body;
  const isWhole = Array.isArray(parsed.records) && parsed.records.every((record) => readRecord(record) !== undefined);
  return isWhole ? parsed : undefined;
}
