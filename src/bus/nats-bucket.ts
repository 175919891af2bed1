// A key-value bucket of a NATS server, bound anew with every connection. Its stream carries the prefix `beamline_`.
import { StorageType } from '@nats-io/jetstream';
import { type KV, type KvEntry, Kvm } from '@nats-io/kv';
import { nanos, type NatsConnection } from '@nats-io/transport-node';
import { BeamlineError } from '../core/errors.ts';
import type { BucketSpec, KeyPattern } from '../contracts/bucket.ts';
import type { BucketStatus, Entry, KeyNote, KeyValue } from './bus.ts';
import { assertKey } from './key.ts';
import { BucketCalls } from './nats-bucket-calls.ts';
import { BucketRoom } from './nats-bucket-room.ts';
import type { NatsLink } from './nats-link.ts';
import { listed, type Listed } from './nats-list.ts';
import { NatsMarks } from './nats-marks.ts';
import type { NatsRequests } from './nats-requests.ts';
import { PassingNumbers } from './passing-numbers.ts';
import { copiesAgain, copiesOn, type Replicas } from './nats-replicas.ts';
import { managerOf, storeFault } from './nats-stream.ts';
import { RecentWrites, type Repairable } from './recent-writes.ts';
import { WatchQueue } from './watch-queue.ts';

/** Every key. */
const ALL = '>' as KeyPattern;
const END_WAIT_MS = 2_000;
const HELD_ROOM = 1.25;
/** Of a list that is held in memory at once. */
const LIST_CHARS_MAX = 268_435_456;

export interface NatsBucketDeps {
  readonly link: NatsLink;
  readonly requests: NatsRequests;
  readonly replicas: Replicas;
}

/** Any copy answers a direct read, also one that has not heard of the last write yet. */
const isAlone = (nc: NatsConnection | undefined): boolean => nc?.info?.cluster === undefined;

export class NatsBucket implements KeyValue {
  #spec: BucketSpec;
  readonly #link: NatsLink;
  readonly #replicas: Replicas;
  readonly #calls: BucketCalls;
  readonly #marks: NatsMarks;
  readonly #room: BucketRoom;
  /** Of a bucket whose entries are written again. */
  readonly #writes: RecentWrites | undefined;
  readonly #repairing: Disposable | undefined;
  readonly #repairable: Repairable = {
    find: (key) => this.#run(() => this.#calls.find(key)),
    update: (key, value, revision) => this.#run(() => this.#calls.update(key, value, revision)),
    drop: (key, revision) => this.#run(() => this.#calls.drop(key, revision)),
  };
  readonly #passing = new PassingNumbers();
  readonly #watchers = new Set<() => Promise<void>>();
  /** Whether this process erases here. */
  #leavesMarks = false;
  #bound: { readonly nc: NatsConnection; readonly kv: Promise<KV> } | undefined;

  constructor(spec: BucketSpec, { link, requests, replicas }: NatsBucketDeps) {
    this.#spec = spec;
    this.#link = link;
    this.#replicas = replicas;
    this.#marks = new NatsMarks(link, this.#stream);
    this.#room = new BucketRoom(spec.bytesMax, link.timers.clock, () => this.status());
    this.#calls = new BucketCalls({
      requests,
      stream: this.#stream,
      history: spec.history ?? 1,
      subjectOf: (key) => this.#subjectOf(key),
      readsDirectly: () => isAlone(link.nc),
    });
    if (spec.supersedes === undefined) return;
    this.#writes = new RecentWrites(link.timers.clock, spec.supersedes);
    this.#repairing = link.eachConnection((nc) => void this.#repair(nc));
  }

  get(key: string): Promise<Entry | undefined> {
    return this.#on(key, async (_, nc) => {
      const entry = await this.#calls.get(key);
      if (entry === undefined || this.#writes?.isBehind(key, entry) !== true || !isAlone(nc)) return entry;
      await this.#writes.mend(key, this.#repairable);
      return this.#calls.get(key);
    });
  }

  writtenMs(key: string): Promise<number | undefined> {
    return this.#on(key, () => this.#calls.writtenMs(key));
  }

  put(key: string, value: string): Promise<number> {
    return this.#on(key, (_, nc) => this.#written(nc, { key, value }, () => this.#calls.put(key, value)));
  }

  putPassing(key: string, value: string): Promise<number> {
    return this.#on(key, async (_, nc) => {
      const revision = await this.#written(nc, { key, value, over: 0 }, () => this.#calls.put(key, value));
      if (isAlone(nc)) this.#passing.add(nc, key, revision);
      return revision;
    });
  }

  update(key: string, value: string, revision: number): Promise<number> {
    const write = (): Promise<number> => this.#calls.update(key, value, revision);
    return this.#on(key, (_, nc) => this.#written(nc, { key, value, over: revision }, write));
  }

  delete(key: string): Promise<void> {
    this.#writes?.forget(key);
    return this.#on(key, async () => this.#calls.removeReplaced(key, await this.#calls.delete(key)));
  }

  forgetReplaced(key: string): Promise<void> {
    return this.#on(key, async () => {
      const found = await this.#calls.find(key);
      if (found !== undefined) await this.#calls.removeReplaced(key, found.revision);
    });
  }

  erase(key: string): Promise<void> {
    this.#writes?.forget(key);
    return this.#on(key, async (_, nc) => {
      if (!isAlone(nc)) {
        this.#leavesMarks = true;
        return this.#marks.left(await this.#calls.delete(key));
      }
      const revision = this.#passing.take(nc, key);
      await (revision === undefined ? this.#calls.remove(key) : this.#calls.removeNumber(revision));
    });
  }

  async entries(pattern: KeyPattern = ALL): Promise<readonly Entry[]> {
    // A key that is written while it is listed comes again with its newer value, and a deleted one with its mark.
    const entries = new Map<string, Entry>();
    let chars = 0;
    for await (const { key, value, revision, deleted } of this.#listed(pattern, true)) {
      chars += key.length + value.length - (entries.get(key)?.value.length ?? 0);
      if (chars > LIST_CHARS_MAX) throw new BeamlineError('unavailable', 'the bucket is too large for one list');
      if (deleted) entries.delete(key);
      else entries.set(key, { key, value, revision, deleted });
    }
    return [...entries.values()];
  }

  async *scan(pattern: KeyPattern = ALL): AsyncGenerator<Entry, void> {
    for await (const { key, value, revision, deleted } of this.#listed(pattern, true)) {
      if (!deleted) yield { key, value, revision, deleted };
    }
  }

  async *keys(pattern: KeyPattern = ALL): AsyncGenerator<KeyNote, void> {
    for await (const { key, revision, writtenAtMs, deleted } of this.#listed(pattern, false)) {
      if (!deleted) yield { key, revision, writtenAtMs };
    }
  }

  status(): Promise<BucketStatus> {
    return this.#run(async (_, nc) => {
      const { streams } = await managerOf(nc);
      const { state, config } = await streams.info(this.#stream);
      return { revision: state.last_seq, bytes: state.bytes, bytesMax: config.max_bytes };
    });
  }

  async *watch(signal: AbortSignal, pattern: KeyPattern = ALL, after = 0): AsyncGenerator<Entry, void> {
    const queue = new WatchQueue();
    const ending = new AbortController();
    const pump = this.#pumpInto(queue, ending.signal, pattern, after);
    let pumping = Promise.resolve();
    const attached = this.#link.eachConnection((nc) => {
      pumping = this.#repeat(nc, pump, ending.signal);
    });
    // A watch of the library that is still being set up when its connection closes leaves a timer behind.
    const end = async (): Promise<void> => {
      queue.end();
      ending.abort();
      attached[Symbol.dispose]();
      await this.#link.within(END_WAIT_MS, pumping);
    };
    this.#watchers.add(end);
    try {
      yield* queue.read(signal);
    } finally {
      this.#watchers.delete(end);
      await end();
    }
  }

  /** Ends the watchers. */
  async close(): Promise<void> {
    this.#marks[Symbol.dispose]();
    this.#repairing?.[Symbol.dispose]();
    await Promise.all([...this.#watchers].map((end) => end()));
  }

  /** Gives it the bounds of its owner, with the next operation or `prepare`. */
  own(spec: BucketSpec): void {
    this.#spec = spec;
    this.#bound = undefined;
  }

  /** Makes the bucket now if the server is there. */
  async prepare(): Promise<void> {
    if (this.#link.nc === undefined) return;
    await this.#bind(this.#link.nc).catch((fault: unknown) => {
      this.#link.log.warn('bus_bucket_failed', { source: this.#spec.name, fault });
    });
  }

  async #written(
    nc: NatsConnection,
    { key, value, over }: { readonly key: string; readonly value: string; readonly over?: number },
    write: () => Promise<number>,
  ): Promise<number> {
    const room = this.#room.take(key.length + value.length);
    if (room !== undefined) await room;
    const revision = await write();
    if (isAlone(nc)) this.#writes?.add(key, value, revision, over === undefined);
    return revision;
  }

  /** Once for each connection, which may be to a server that was killed; tried until it is done. */
  async #repair(nc: NatsConnection): Promise<void> {
    const writes = this.#writes;
    if (writes === undefined || writes.size === 0 || !isAlone(nc)) return;
    for (let failures = 0; this.#link.nc === nc && !this.#link.isClosing; failures++) {
      try {
        // eslint-disable-next-line no-await-in-loop -- tries come one after the other
        const count = await writes.repair(this.#repairable);
        if (count > 0) this.#link.log.warn('bus_bucket_repaired', { source: this.#spec.name, count });
        return;
      } catch (fault) {
        this.#link.log.debug('bus_bucket_not_repaired', { source: this.#spec.name, fault });
      }
      // eslint-disable-next-line no-await-in-loop -- as above
      await this.#link.backOff(failures);
    }
  }

  get #stream(): string {
    return `KV_beamline_${this.#spec.name}`;
  }

  #subjectOf(key: string): string {
    return `$KV.beamline_${this.#spec.name}.${key}`;
  }

  /** The bucket on this connection, made if it is not there. */
  #bind(nc: NatsConnection): Promise<KV> {
    if (this.#bound?.nc === nc) return this.#bound.kv;
    const kv = this.#open(nc);
    this.#bound = { nc, kv };
    kv.catch(() => {
      if (this.#bound?.kv === kv) this.#bound = undefined;
    });
    return kv;
  }

  async #open(nc: NatsConnection): Promise<KV> {
    const { name, ttlMs, bytesMax } = this.#spec;
    const kv = await new Kvm(nc).create(`beamline_${name}`, {
      history: historyOn(nc, this.#spec),
      storage: StorageType.File,
      replicas: copiesOn(nc, this.#replicas),
      max_bytes: bytesMax,
      allow_direct: isAlone(nc),
      ...(ttlMs === undefined ? {} : { ttl: ttlMs }),
    });
    const { config, state } = (await kv.status()).streamInfo;
    const wanted = {
      num_replicas: copiesAgain(nc, this.#replicas, config.num_replicas),
      ...(this.#spec.isOwn === true ? boundsOf(nc, this.#spec, state.bytes) : {}),
    };
    const isOther = (Object.keys(wanted) as (keyof typeof wanted)[]).some((name) => wanted[name] !== config[name]);
    if (isOther) await (await managerOf(nc)).streams.update(this.#stream, wanted);
    return kv;
  }

  /** Reads a connection's changes into the queue, from where the one before ended. */
  #pumpInto(
    queue: WatchQueue,
    signal: AbortSignal,
    key: KeyPattern,
    after: number,
  ): (nc: NatsConnection) => Promise<void> {
    let seen = after;
    return async (nc) => {
      const kv = await this.#bind(nc);
      const { streamInfo } = await kv.status();
      // A bucket that was made anew counts its revisions from the start.
      if (streamInfo.state.last_seq < seen) seen = 0;
      if (signal.aborted) return;
      const entries = await kv.watch({ key, ...(seen > 0 ? { resumeFromRevision: seen + 1 } : {}) });
      const stop = (): void => entries.stop();
      signal.addEventListener('abort', stop);
      if (signal.aborted) stop();
      for await (const entry of entries) {
        if (entry.revision <= seen) continue;
        seen = entry.revision;
        queue.push(entryOf(entry));
      }
      signal.removeEventListener('abort', stop);
    };
  }

  /** Beside it, marks of erased keys are taken away once they are old. */
  async *#listed(pattern: KeyPattern, withValues: boolean): AsyncGenerator<Listed, void> {
    const nc = this.#link.connected();
    const old: number[] = [];
    try {
      await this.#bind(nc);
      const { timers } = this.#link;
      const where = { timers, stream: this.#stream, prefix: this.#subjectOf(''), pattern };
      for await (const one of listed(nc, { ...where, withValues })) {
        if (this.#leavesMarks && this.#marks.isOld(one)) old.push(one.revision);
        yield one;
      }
    } catch (cause) {
      throw bucketFault(cause);
    }
    void this.#marks.tidy(old);
  }

  async #on<R>(key: string, work: (kv: KV, nc: NatsConnection) => Promise<R>): Promise<R> {
    assertKey(key);
    return this.#run(work);
  }

  async #run<R>(work: (kv: KV, nc: NatsConnection) => Promise<R>): Promise<R> {
    const nc = this.#link.connected();
    try {
      return await work(await this.#bind(nc), nc);
    } catch (cause) {
      throw bucketFault(cause);
    }
  }

  async #repeat(nc: NatsConnection, pump: (nc: NatsConnection) => Promise<void>, signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted && this.#link.nc === nc; failures++) {
      // eslint-disable-next-line no-await-in-loop -- tries come one after the other
      await pump(nc).catch((fault: unknown) => {
        if (this.#link.nc === nc) this.#link.log.warn('bus_watch_failed', { source: this.#spec.name, fault });
      });
      // eslint-disable-next-line no-await-in-loop -- as above
      if (!signal.aborted && this.#link.nc === nc) await this.#link.backOff(failures);
    }
  }
}

/** A bucket that is made smaller than what it holds would drop its oldest entries. */
const boundsOf = (nc: NatsConnection, spec: BucketSpec, held: number) => ({
  max_bytes: Math.max(spec.bytesMax, Math.ceil(held * HELD_ROOM)),
  max_age: nanos(spec.ttlMs ?? 0),
  max_msgs_per_subject: historyOn(nc, spec),
});

/** In a cluster the mark of an erased key is taken away by its number, and must not bring to light what was before it. */
const historyOn = (nc: NatsConnection, { history = 1 }: BucketSpec): number => (isAlone(nc) ? history : 1);

const bucketFault = (cause: unknown): BeamlineError =>
  cause instanceof BeamlineError ? asUnavailable(cause) : storeFault(cause);

/** Silence and nobody there are the same to who asks a bucket: it cannot be used now. */
const asUnavailable = (fault: BeamlineError): BeamlineError =>
  fault.code === 'timeout' ? new BeamlineError('unavailable', 'the bucket does not answer', { cause: fault }) : fault;

const entryOf = (entry: KvEntry): Entry => ({
  key: entry.key,
  value: entry.string(),
  revision: entry.revision,
  deleted: entry.operation !== 'PUT',
});
