// Canaries that were stopped by their limits: one router judges, all obey, and those that start later (policy 5.5).
// A1. An abort holds at once where it was judged, and is written until the bucket takes it.
// A2. It holds for the revision that was judged; when a newer one is asked for, its record goes.
import type { Bus, Entry, KeyValue } from '../bus/bus.ts';
import { followBucket } from '../bus/follow-bucket.ts';
import { type CanaryAbort, canaryAbort, canaryAbortKey, canaryAbortKeys } from '../contracts/canary-abort.ts';
import { readRecord } from '../contracts/codec.ts';
import { controlBucket } from '../contracts/contract-switch.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Canary, Policy } from '../policy/policy.ts';
import type { Log } from '../telemetry/log.ts';

const RETRY_MS = 1_000;
/** Policies of this process whose canary is stopped; one above it is stopped again by the next requests of its canary. */
const ABORTS_MAX = 100_000;

export interface CanaryAbortsDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly log: Log;
}

export class CanaryAborts implements AsyncDisposable {
  readonly #deps: CanaryAbortsDeps;
  readonly #bucket: KeyValue;
  readonly #closing = new AbortController();
  /** By the key of the record. */
  readonly #aborts = new Map<string, CanaryAbort>();

  static async open(deps: CanaryAbortsDeps): Promise<CanaryAborts> {
    return new CanaryAborts(deps, await deps.bus.openBucket(controlBucket));
  }

  private constructor(deps: CanaryAbortsDeps, bucket: KeyValue) {
    this.#deps = deps;
    this.#bucket = bucket;
    void followBucket({
      ...deps,
      bucket,
      signal: this.#closing.signal,
      pattern: canaryAbortKeys,
      unwatched: 'canary_aborts_unwatched',
      hear: (entry) => this.#hear(entry),
    });
  }

  isAborted(policy: Policy): boolean {
    const { canary } = policy;
    if (canary === undefined || this.#aborts.size === 0) return false;
    const key = canaryAbortKey(policy.tenantId, policy.policyId);
    const abort = this.#aborts.get(key);
    if (abort === undefined) return false;
    if (isOf(abort, policy, canary)) return true;
    if (abort.policy_revision <= policy.revision) this.#forget(key);
    return false;
  }

  /** The share of the policy's canary is 0 from now on. */
  abort({ tenantId, policyId, revision }: Policy, { to, share }: Canary): void {
    const record: CanaryAbort = {
      version: '2',
      tenant_id: tenantId,
      policy_id: policyId,
      policy_revision: revision,
      to: to.name,
      share,
      aborted_at_ms: this.#deps.timers.clock.epochMs(),
    };
    const key = canaryAbortKey(tenantId, policyId);
    this.#keep(key, record);
    void this.#write(key, record);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    return Promise.resolve();
  }

  #keep(key: string, record: CanaryAbort): void {
    if (this.#aborts.size < ABORTS_MAX || this.#aborts.has(key)) this.#aborts.set(key, record);
  }

  #forget(key: string): void {
    this.#aborts.delete(key);
    // Another router may have done it, and a record that stays is passed over.
    this.#bucket.delete(key).catch(() => undefined);
  }

  async #write(key: string, record: CanaryAbort): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted && this.#aborts.get(key) === record) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- tries come one after the other
        await this.#bucket.put(key, JSON.stringify(record));
        return;
      } catch (fault) {
        this.#deps.log.warn('canary_abort_not_written', { code: BeamlineError.from(fault).code });
      }
      // oxlint-disable-next-line no-await-in-loop -- as above
      await this.#deps.timers.sleep(RETRY_MS, signal).catch(() => undefined);
    }
  }

  #hear({ key, value, deleted }: Entry): void {
    if (deleted) {
      this.#aborts.delete(key);
      return;
    }
    const heard = readRecord(canaryAbort, value);
    if (heard === undefined) return this.#deps.log.error('canary_abort_unreadable', { source: key });
    const known = this.#aborts.get(key);
    if (known === undefined || known.policy_revision <= heard.policy_revision) this.#keep(key, heard);
  }
}

const isOf = (abort: CanaryAbort, { revision }: Policy, { to, share }: Canary): boolean =>
  abort.policy_revision === revision && abort.to === to.name && abort.share === share;
