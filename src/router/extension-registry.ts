// The extensions that policies may name: those of the configuration, which win and are only read here, and those of a
// bucket, which every router watches (policy 10.1).
// G1. A record is written before it is answered; other routers hear of it a moment later.
// G2. A record that cannot be read is told and passed over: the last good one stays.
// G3. While the bucket is away the last word holds, and none can be said.
import type { Bus, Entry, KeyValue } from '../bus/bus.ts';
import { followBucket } from '../bus/follow-bucket.ts';
import type { RegisteredExtension } from '../contracts/admin-operations.ts';
import { readRecord } from '../contracts/codec.ts';
import {
  extensionBucket,
  type ExtensionDocument,
  extensionKey,
  type ExtensionRecord,
  extensionRecord,
} from '../contracts/extension-descriptor.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import { descriptorOf, documentOf } from './extension-document.ts';
import type { Descriptor } from './extensions.ts';

/** Beside those of the configuration, which has as many at most. */
const EXTENSIONS_MAX = 1_000;

export interface ExtensionRegistryDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly log: Log;
  readonly configured: ReadonlyMap<string, Descriptor>;
}

export interface ExtensionWrite {
  readonly document: ExtensionDocument;
  /** 0: it must not exist; undefined: any. */
  readonly expectedRevision: number | undefined;
  /** Who writes. */
  readonly by: string;
}

interface Held {
  readonly key: string;
  readonly descriptor: Descriptor;
  readonly revision: number;
}

export class ExtensionRegistry implements AsyncDisposable {
  readonly #deps: ExtensionRegistryDeps;
  readonly #bucket: KeyValue;
  readonly #held = new Map<string, Held>();
  #onChange: (id: string) => void = () => undefined;
  readonly #closing = new AbortController();

  static async open(deps: ExtensionRegistryDeps): Promise<ExtensionRegistry> {
    const registry = new ExtensionRegistry(deps, await deps.bus.openBucket(extensionBucket));
    await registry.#read();
    return registry;
  }

  private constructor(deps: ExtensionRegistryDeps, bucket: KeyValue) {
    this.#deps = deps;
    this.#bucket = bucket;
    const { timers, log } = deps;
    const hear = this.#hear.bind(this);
    void followBucket({ bucket, signal: this.#closing.signal, timers, log, unwatched: 'extensions_unwatched', hear });
  }

  /** Hears the id of each extension that is registered, changed or gone from now on. */
  whenChanged(listener: (id: string) => void): void {
    this.#onChange = listener;
  }

  get(id: string): Descriptor | undefined {
    return this.#deps.configured.get(id) ?? this.#held.get(id)?.descriptor;
  }

  /** All by id, as the bucket has them now. Throws `unavailable`. */
  async list(): Promise<readonly RegisteredExtension[]> {
    const { configured } = this.#deps;
    const stored = (await this.#bucket.entries()).flatMap((entry) => {
      const record = recordIn(entry);
      return record === undefined || configured.has(record.id) ? [] : [registered(record, entry.revision)];
    });
    return [...Array.from(configured.values(), ofConfiguration), ...stored].toSorted((a, b) =>
      a.extension.id < b.extension.id ? -1 : 1,
    );
  }

  /** As the bucket has it now. Throws `extension_not_found`, `unavailable`. */
  async find(id: string): Promise<RegisteredExtension> {
    const configured = this.#deps.configured.get(id);
    if (configured !== undefined) return ofConfiguration(configured);
    const stored = await this.#bucket.get(extensionKey(id));
    const record = stored === undefined ? undefined : recordIn(stored);
    if (stored === undefined || record === undefined) throw absent();
    return registered(record, stored.revision);
  }

  /** Throws `precondition_failed`, `capacity_exceeded`, `unavailable`, and `conflict` for one of the configuration. */
  async put({ document, expectedRevision, by }: ExtensionWrite): Promise<RegisteredExtension & { created: boolean }> {
    this.#mustBeOurs(document.id);
    const key = extensionKey(document.id);
    const stored = await this.#bucket.get(key);
    mustBe(expectedRevision, stored?.revision ?? 0);
    if (stored === undefined && (await this.#bucket.entries()).length >= EXTENSIONS_MAX) {
      throw new BeamlineError('capacity_exceeded', `there are at most ${EXTENSIONS_MAX} extensions`);
    }
    const record: ExtensionRecord = {
      version: '2',
      ...document,
      updated_at_ms: this.#deps.timers.clock.epochMs(),
      updated_by: by,
    };
    const revision = await this.#bucket.update(key, JSON.stringify(record), stored?.revision ?? 0);
    this.#hold({ key, descriptor: descriptorOf(document), revision });
    return { ...registered(record, revision), created: stored === undefined };
  }

  /** Throws as `put`, and `extension_not_found`. One that another writes at the same moment may go with it. */
  async remove(id: string, expectedRevision: number | undefined): Promise<void> {
    this.#mustBeOurs(id);
    const stored = await this.#bucket.get(extensionKey(id));
    if (stored === undefined) throw absent();
    mustBe(expectedRevision, stored.revision);
    await this.#bucket.delete(stored.key);
    if (this.#held.delete(id)) this.#onChange(id);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    return Promise.resolve();
  }

  /** So that the first request finds what is there; a bucket that is away is found by the watch. */
  async #read(): Promise<void> {
    try {
      for (const entry of await this.#bucket.entries()) {
        const record = recordIn(entry);
        if (record !== undefined) this.#take(record, entry);
      }
    } catch (fault) {
      this.#deps.log.debug('extensions_unread', { code: BeamlineError.from(fault).code });
    }
  }

  /** False for a condition that is none. */
  #take(record: ExtensionRecord, { key, revision }: Entry): boolean {
    try {
      this.#hold({ key, descriptor: descriptorOf(record), revision });
      return true;
    } catch {
      return false;
    }
  }

  #mustBeOurs(id: string): void {
    if (!this.#deps.configured.has(id)) return;
    throw new BeamlineError('conflict', 'the extension stands in the configuration, and is changed there');
  }

  #hold(held: Held): void {
    const { id } = held.descriptor;
    if ((this.#held.get(id)?.revision ?? 0) >= held.revision) return;
    this.#held.set(id, held);
    this.#onChange(id);
  }

  #hear(entry: Entry): void {
    const { log, configured } = this.#deps;
    const { key, revision } = entry;
    if (entry.deleted) {
      for (const [id, held] of this.#held) {
        if (held.key === key && held.revision < revision && this.#held.delete(id)) this.#onChange(id);
      }
      return;
    }
    const record = recordIn(entry);
    if (record === undefined || !this.#take(record, entry)) return log.error('extension_unreadable', { source: key });
    if (configured.has(record.id)) log.warn('extension_of_configuration_wins', { source: record.id });
  }
}

/** Undefined for what is no record, or one of another key. */
function recordIn({ key, value }: Entry): ExtensionRecord | undefined {
  const record = readRecord(extensionRecord, value);
  return record !== undefined && extensionKey(record.id) === key ? record : undefined;
}

const registered = (
  { version: _version, updated_at_ms, updated_by, ...extension }: ExtensionRecord,
  revision: number,
): RegisteredExtension => ({ extension, source: 'api', revision, updated_at_ms, updated_by });

const ofConfiguration = (descriptor: Descriptor): RegisteredExtension => ({
  extension: documentOf(descriptor),
  source: 'configuration',
  revision: 0,
});

function mustBe(expected: number | undefined, revision: number): void {
  if (expected === undefined || expected === revision) return;
  throw new BeamlineError('precondition_failed', 'the extension has another revision');
}

const absent = (): BeamlineError => new BeamlineError('extension_not_found', 'there is no such extension');
