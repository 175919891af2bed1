// Breakers of extensions that an administrator closed: told to one router, heard by every router and, since these ask
// post-processors, by every worker; each time once.
// A record says that it happened: one that was obeyed is not obeyed again when a watch starts anew.
import { controlBucket } from '../contracts/contract-switch.ts';
import {
  type ExtensionReset,
  extensionReset,
  extensionResetKey,
  extensionResetKeys,
} from '../contracts/extension-descriptor.ts';
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { Bus, Entry, KeyValue } from './bus.ts';
import { followBucket } from './follow-bucket.ts';

/** As many as configuration and registry have together; one that is forgotten may be obeyed again. */
const OBEYED_MAX = 2_000;

export interface ExtensionResetsDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly log: Log;
  /** Closes the breakers of an extension here. */
  reset(extensionId: string): void;
}

export class ExtensionResets implements AsyncDisposable {
  readonly #deps: ExtensionResetsDeps;
  readonly #bucket: KeyValue;
  readonly #closing = new AbortController();
  /** Revisions that were obeyed, by key. */
  readonly #obeyed = new Map<string, number>();

  static async open(deps: ExtensionResetsDeps): Promise<ExtensionResets> {
    return new ExtensionResets(deps, await deps.bus.openBucket(controlBucket));
  }

  private constructor(deps: ExtensionResetsDeps, bucket: KeyValue) {
    this.#deps = deps;
    this.#bucket = bucket;
    const { timers, log } = deps;
    void followBucket({
      bucket,
      signal: this.#closing.signal,
      timers,
      log,
      unwatched: 'extension_resets_unwatched',
      hear: this.#hear.bind(this),
      pattern: extensionResetKeys,
    });
  }

  /** Throws `unavailable`. */
  async reset(extensionId: string): Promise<void> {
    const set_at_ms = this.#deps.timers.clock.epochMs();
    const told: ExtensionReset = { version: '2', extension_id: extensionId, set_at_ms };
    const key = extensionResetKey(extensionId);
    this.#obey(key, await this.#bucket.put(key, JSON.stringify(told)), extensionId);
  }

  /** Of an extension that is no more. Throws `unavailable`. */
  forget(extensionId: string): Promise<void> {
    return this.#bucket.erase(extensionResetKey(extensionId));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    return Promise.resolve();
  }

  #hear({ key, value, revision, deleted }: Entry): void {
    if (deleted) return;
    const told = resetIn(value);
    if (told === undefined) this.#deps.log.error('extension_reset_unreadable', { source: key });
    else this.#obey(key, revision, told.extension_id);
  }

  #obey(key: string, revision: number, extensionId: string): void {
    if ((this.#obeyed.get(key) ?? 0) >= revision) return;
    const [oldest] = this.#obeyed.keys();
    if (this.#obeyed.size >= OBEYED_MAX && oldest !== undefined) this.#obeyed.delete(oldest);
    this.#obeyed.set(key, revision);
    this.#deps.reset(extensionId);
  }
}

function resetIn(text: string): ExtensionReset | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return extensionReset.check(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
