// Policies in a bucket of the bus: one entry per policy, its value the record, deletions included as records.
// K1. A write is compare-and-set on the entry that was read, so a revision is given once.
// K2. History stands in a bucket of its own, a ring of 64 entries per policy. Beside the policies every router would
//     watch it; within the record a message would outgrow its limit. Only who asks for history reads it.
// K3. A replaced record is archived before its successor is written: all who race archive the same one.
// Who removes an entry by hand instead of deleting the policy removes the memory of its revisions, too.
import type { Bus, KeyValue } from '../bus/bus.ts';
import { keyOf } from '../contracts/bucket.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { parsedJson, PolicyBucketReader, recordIn } from './policy-kv-reader.ts';
import { HISTORY_MAX, noSuchPolicy, readRecord, recordAfter, tombstoneAfter } from './policy-record.ts';
import type { PolicyListener, PolicyRecord, PolicySource, PolicyWrite } from './policy-source.ts';

/** Room for some 30,000 policies of 2 KB. */
const POLICIES = { name: 'policies', bytesMax: 67_108_864 };
const HISTORY = { name: 'policy_history', bytesMax: 268_435_456 };
/** How often an unconditional write meets another one before it gives up. */
const TRIES_MAX = 5;

export interface PolicyKvDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
}

type Make = (held: PolicyRecord | undefined) => PolicyRecord;

/** A server that is away is found later: the source then starts unreachable. */
export async function openPolicyKv(deps: PolicyKvDeps): Promise<PolicySource> {
  const [policies, history] = await Promise.all([deps.bus.openBucket(POLICIES), deps.bus.openBucket(HISTORY)]);
  return new PolicyKv(deps, policies, history);
}

class PolicyKv implements PolicySource {
  readonly kind = 'kv';
  readonly #deps: PolicyKvDeps;
  readonly #policies: KeyValue;
  readonly #history: KeyValue;
  readonly #reader: PolicyBucketReader;

  constructor(deps: PolicyKvDeps, policies: KeyValue, history: KeyValue) {
    this.#deps = deps;
    this.#policies = policies;
    this.#history = history;
    this.#reader = new PolicyBucketReader(deps, policies);
  }

  watch(listener: PolicyListener): Promise<void> {
    return this.#reader.watch(listener);
  }

  put(write: PolicyWrite, document: unknown): Promise<PolicyRecord> {
    return this.#write(write, (held) => recordAfter(held, write, document, this.#deps.timers.clock.epochMs()));
  }

  delete(write: PolicyWrite): Promise<PolicyRecord> {
    return this.#write(write, (held) => tombstoneAfter(held, write, this.#deps.timers.clock.epochMs()));
  }

  async history(tenantId: string, policyId: string): Promise<readonly PolicyRecord[]> {
    const slots = Array.from({ length: HISTORY_MAX }, (_, n) =>
      this.#history.get(keyOf(tenantId, policyId, String(n))),
    );
    const [entry, ...archived] = await Promise.all([this.#policies.get(keyOf(tenantId, policyId)), ...slots]);
    if (entry === undefined) throw noSuchPolicy();
    const current = recordIn(entry);
    const older = archived
      .flatMap((slot) => readRecord(slot === undefined ? undefined : parsedJson(slot.value)) ?? [])
      .filter(({ revision }) => revision < current.revision)
      .toSorted((a, b) => b.revision - a.revision);
    return [current, ...older].slice(0, HISTORY_MAX);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#reader[Symbol.asyncDispose]();
  }

  async #write(write: PolicyWrite, make: Make): Promise<PolicyRecord> {
    const key = keyOf(write.tenantId, write.policyId);
    for (let tries = 1; ; tries++) {
      // eslint-disable-next-line no-await-in-loop -- tries come one after the other
      const entry = await this.#policies.get(key);
      const held = entry === undefined ? undefined : recordIn(entry);
      const record = make(held);
      try {
        // eslint-disable-next-line no-await-in-loop -- as above
        if (held?.policy !== undefined) await this.#archive(held);
        // eslint-disable-next-line no-await-in-loop -- as above
        await this.#policies.update(key, JSON.stringify(record), entry?.revision ?? 0);
        return record;
      } catch (fault) {
        const wasRace = fault instanceof BeamlineError && fault.code === 'precondition_failed';
        if (!wasRace || write.expectedRevision !== undefined || tries >= TRIES_MAX) throw fault;
      }
    }
  }

  /** Never over a newer record, in case this writer was held up. A history that is full does not stop a change. */
  async #archive(record: PolicyRecord): Promise<void> {
    const key = keyOf(record.tenant_id, record.policy_id, String(record.revision % HISTORY_MAX));
    try {
      const slot = await this.#history.get(key);
      const kept = slot === undefined ? undefined : readRecord(parsedJson(slot.value));
      if (kept !== undefined && kept.revision >= record.revision) return;
      await this.#history.update(key, JSON.stringify(record), slot?.revision ?? 0);
    } catch (fault) {
      const { tenant_id, policy_id: policy } = record;
      if (fault instanceof BeamlineError && fault.code === 'precondition_failed') return;
      this.#deps.telemetry.log.warn('policy_history_failed', { tenant_id, policy, fault });
    }
  }
}
