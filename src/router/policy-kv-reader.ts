// Keeps a listener at what a bucket of policies holds: a full list whenever the bus is found, and every change between.
// A list and a watch see different moments, so changes wait until the list was told, and are told after it.
import type { Bus, Entry, KeyValue } from '../bus/bus.ts';
import { keyOf } from '../contracts/bucket.ts';
import { decodeToken } from '../contracts/subject.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import { digestOf, readRecord } from './policy-record.ts';
import type { PolicyListener, PolicyRecord } from './policy-source.ts';

/** Between two tries to read the list, and two watches. */
const RETRY_MS = 500;
/** Between two signs of life of the store: a connection can stand while the store behind it is gone. */
const PROBE_MS = 5_000;
/** No policy has a key of one token. */
const PROBE_KEY = keyOf('probe');

/** `away` until a full list was read; entries that were watched meanwhile wait, the last one of each key. */
type Phase = { readonly kind: 'away'; readonly waiting: Map<string, Entry> } | { readonly kind: 'synced' };

export interface ReaderDeps {
  readonly bus: Bus;
  readonly timers: Timers;
}

export class PolicyBucketReader implements AsyncDisposable {
  readonly #bus: Bus;
  readonly #timers: Timers;
  readonly #bucket: KeyValue;
  readonly #closing = new AbortController();
  #phase: Phase = away();
  #listener: PolicyListener | undefined;
  #watching: Promise<void> = Promise.resolve();
  #looking: Promise<void> | undefined;
  #timer: Timer | undefined;

  constructor({ bus, timers }: ReaderDeps, bucket: KeyValue) {
    this.#bus = bus;
    this.#timers = timers;
    this.#bucket = bucket;
  }

  /** Once. Resolves after the first attempt to read the list. */
  watch(listener: PolicyListener): Promise<void> {
    this.#listener = listener;
    const states = this.#bus.onState((state) => {
      if (state === 'connected') void this.#look();
      else this.#lost(new BeamlineError('unavailable', 'the connection was lost'));
    });
    this.#closing.signal.addEventListener('abort', () => states[Symbol.dispose]());
    this.#watching = this.#watch();
    return this.#look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#timer?.cancel();
    await Promise.all([this.#watching, this.#looking]);
  }

  async #watch(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- tries come one after the other
        for await (const entry of this.#bucket.watch(signal)) this.#heard(entry);
      } catch (fault) {
        // A watch that lagged: a new one starts with what is there, but not at once, because it may lag again.
        this.#lost(fault);
      }
      // oxlint-disable-next-line no-await-in-loop -- as above
      if (!signal.aborted) await this.#timers.sleep(RETRY_MS, signal).catch(() => undefined);
    }
  }

  #heard(entry: Entry): void {
    if (!isPolicy(entry)) return;
    if (this.#phase.kind === 'away') this.#phase.waiting.set(entry.key, entry);
    else if (!entry.deleted) this.#listener?.changed(recordIn(entry));
    // Deletions are records. An entry that is gone was removed behind our back: the list tells what is left.
    else {
      this.#phase = away();
      void this.#look();
    }
  }

  /** One look at a time: at the list while away, else for a sign of life. */
  #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined;
      if (this.#closing.signal.aborted) return;
      this.#timer?.cancel();
      this.#timer = this.#timers.after(this.#phase.kind === 'away' ? RETRY_MS : PROBE_MS, () => void this.#look());
    });
    return this.#looking;
  }

  async #lookOnce(): Promise<void> {
    const phase = this.#phase;
    try {
      if (phase.kind === 'synced') await this.#bucket.get(PROBE_KEY);
      else this.#list(phase, await this.#bucket.entries());
    } catch (fault) {
      this.#lost(fault);
    }
  }

  /** A list of a phase that is over may be older than what was told since. */
  #list(phase: Extract<Phase, { kind: 'away' }>, entries: readonly Entry[]): void {
    if (phase !== this.#phase || this.#closing.signal.aborted) return;
    this.#phase = { kind: 'synced' };
    this.#listener?.all(entries.filter(isPolicy).map(recordIn));
    for (const entry of phase.waiting.values()) if (!entry.deleted) this.#listener?.changed(recordIn(entry));
  }

  #lost(fault: unknown): void {
    if (this.#closing.signal.aborted) return;
    if (this.#phase.kind === 'synced') this.#phase = away();
    this.#listener?.unreachable(fault);
  }
}

/**
 * The record of an entry. What cannot be read becomes a record that cannot be valid, so that a replica refuses it and
 * keeps what it has: an unreadable value is a fault, not a deletion. The bucket's revisions outnumber the record's.
 */
export function recordIn({ key, value, revision }: Entry): PolicyRecord {
  const record = readRecord(parsedJson(value));
  const [tenant_id = '', policy_id = ''] = key.split('.').map(decodeToken);
  if (record?.tenant_id === tenant_id && record.policy_id === policy_id) return record;
  const digest = digestOf(undefined);
  return {
    tenant_id,
    policy_id,
    revision,
    policy: undefined,
    digest,
    updated_at_ms: 0,
    updated_by: '',
    deleted: false,
  };
}

/** Undefined for what is no JSON. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const away = (): Phase => ({ kind: 'away', waiting: new Map() });

const isPolicy = ({ key }: Entry): boolean => key.split('.').length === 2;
