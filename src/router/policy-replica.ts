// Every policy of every tenant, compiled, in memory: what a router decides by, whatever its source does (policy 12.1).
// R1. A change is validated and compiled aside and takes its place at once; who holds the old policy keeps it.
// R2. An invalid change is skipped: the last good revision stays, which may be the built-in one.
// R3. A policy that was invalid when the process started, without a good revision, is not decided by the built-in one:
//     its author meant something else. Others go on.
// R4. A record is applied only over a lower revision, tombstones included; a full list removes what it does not name.
// R5. A change of an extension is no change of a policy: what was refused because of it is judged again, and what is in force
//     stays and is told of, since its item fails by itself when it is called. So it is at a start: what other routers may
//     have in force is not withheld because of an extension.
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { namesExtension } from '../policy/extension-document.ts';
import { isOfExtensions, NO_EXTENSIONS } from '../policy/extension-relations.ts';
import type { ParsePolicy } from '../policy/parse.ts';
import type { Issue } from '../policy/issue.ts';
import type { Policy } from '../policy/policy.ts';
import type { Log } from '../telemetry/log.ts';
import type { Counter, Family } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Policies } from './policies.ts';
import { PolicyChanges } from './policy-changes.ts';
import type { PolicyListener, PolicyRecord, PolicySource } from './policy-source.ts';

/** Decisions carry `policy_stale` once the source has been away for this long. */
const STALE_MS = 60_000;
const NO_IDS: ReadonlySet<string> = new Set<string>();

export interface ReplicaOptions {
  readonly source: PolicySource['kind'];
  /** The tenants that this process knows. */
  readonly tenants: ReadonlySet<string>;
  /** What every known tenant has, unless a stored policy of that id replaces it. */
  readonly builtIns: readonly Policy[];
  readonly parse: ParsePolicy;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

interface Held {
  readonly record: PolicyRecord;
  /** Undefined for a tombstone. */
  readonly policy: Policy | undefined;
}

interface Refused {
  readonly revision: number;
  /** Kept where another extension could make it good. */
  readonly record: PolicyRecord | undefined;
}

/** `away`: the source was heard, or a snapshot was read, and it is out of reach since a moment of the clock. */
type Reach =
  | { readonly kind: 'unheard' }
  | { readonly kind: 'live' }
  | { readonly kind: 'away'; readonly sinceMs: number; readonly isRestored: boolean };

export class PolicyReplica implements Policies, PolicyListener {
  readonly #options: ReplicaOptions;
  readonly #log: Log;
  readonly #results: Family<Counter>;
  readonly #builtIns: ReadonlyMap<string, Policy>;
  readonly changes = new PolicyChanges();
  readonly #held = new Map<string, Map<string, Held>>();
  /** Ids of the policies that are there, for names of models. */
  readonly #ids = new Map<string, Set<string>>();
  /** What was refused last, so that a list that repeats it is not told again. */
  readonly #refused = new Map<string, Refused>();
  /** Those whose newest document was refused, and whether they are withheld until it is mended. */
  readonly #faulty = new Map<string, 'withheld' | 'as before'>();
  /** Those in force that extensions do not fit any more. */
  readonly #unfit = new Set<string>();
  #reach: Reach = { kind: 'unheard' };

  constructor(options: ReplicaOptions) {
    const { metrics, log } = options.telemetry;
    this.#options = options;
    this.#log = log.for('policies');
    this.#builtIns = new Map(options.builtIns.map((policy) => [policy.policyId, policy]));
    this.#results = metrics.counter({
      name: 'router_policy_source_total',
      help: 'What came from the source of policies, by what was made of it.',
      labels: ['result'],
    });
    const age = metrics.gauge({
      name: 'router_policy_revision_age_seconds',
      help: 'How long the source of policies has been out of reach.',
      labels: ['source'],
    });
    metrics.beforeRender(() => age.of(options.source).set(this.ageMs(options.clock.nowMs()) / 1_000));
    const faulty = metrics.gauge({
      name: 'router_policies_faulty',
      help: 'Policies whose newest document has faults and was refused, or that extensions do not fit any more.',
    });
    metrics.beforeRender(() => faulty.of().set(this.faulty));
  }

  /** Also throws `unavailable` until the source or a snapshot was read. */
  find(tenantId: string, policyId: string): Policy {
    if (!this.#options.tenants.has(tenantId)) {
      throw new BeamlineError('forbidden', 'the tenant is not served here', {
        details: { intake: 'TENANT_FORBIDDEN' },
      });
    }
    if (this.#reach.kind === 'unheard') throw new BeamlineError('unavailable', 'the policies were not read yet');
    const policy = this.#held.get(tenantId)?.get(policyId)?.policy;
    return policy ?? this.#builtIn(tenantId, policyId);
  }

  #builtIn(tenantId: string, policyId: string): Policy {
    if (this.#faulty.get(`${tenantId} ${policyId}`) === 'withheld') {
      throw new BeamlineError(
        'policy_not_found',
        'the document of the policy has faults, and no other revision is there',
      );
    }
    const policy = this.#builtIns.get(policyId);
    if (policy === undefined) throw new BeamlineError('policy_not_found', 'the tenant has no such policy');
    return policy;
  }

  /** How many policies have a newest document that was refused, or are in force and do not fit their extensions. */
  get faulty(): number {
    return this.#faulty.size + this.#unfit.size;
  }

  get tenants(): ReadonlySet<string> {
    return this.#options.tenants;
  }

  /** What is held is what the source holds, as far as it was heard. */
  get isLive(): boolean {
    return this.#reach.kind === 'live';
  }

  get isReady(): boolean {
    return this.#reach.kind !== 'unheard';
  }

  isStale(nowMs: number): boolean {
    const reach = this.#reach;
    return reach.kind === 'away' && (reach.isRestored || nowMs - reach.sinceMs >= STALE_MS);
  }

  /** Milliseconds since the source was heard; 0 while it is in reach. */
  ageMs(nowMs: number): number {
    return this.#reach.kind === 'away' ? Math.max(0, nowMs - this.#reach.sinceMs) : 0;
  }

  /** Ids of the tenant's stored policies now, without the built-in ones. */
  idsOf(tenantId: string): ReadonlySet<string> {
    return this.#ids.get(tenantId) ?? NO_IDS;
  }

  /** The newest that is held of a policy, which may be a tombstone. */
  recordOf(tenantId: string, policyId: string): PolicyRecord | undefined {
    return this.#held.get(tenantId)?.get(policyId)?.record;
  }

  /** Everything that is held of a tenant, tombstones included. */
  recordsOf(tenantId: string): readonly PolicyRecord[] {
    return Array.from(this.#held.get(tenantId)?.values() ?? [], ({ record }) => record);
  }

  records(): readonly PolicyRecord[] {
    return [...this.#held.keys()].flatMap((tenantId) => this.recordsOf(tenantId));
  }

  all(records: readonly PolicyRecord[]): void {
    const listed = new Set(records.map(nameOf));
    for (const record of this.records()) if (!listed.has(nameOf(record))) this.#remove(record);
    for (const name of this.#refused.keys()) {
      if (listed.has(name)) continue;
      this.#refused.delete(name);
      this.#faulty.delete(name);
    }
    for (const record of records) this.#apply(record);
    this.#heard();
    this.#log.info('policies_listed', { source: this.#options.source, count: records.length });
  }

  changed(record: PolicyRecord): void {
    this.#heard();
    if (!this.#apply(record)) return;
    const { tenant_id, policy_id, revision, deleted } = record;
    const state = `${deleted ? 'deleted by' : 'is now'} revision ${revision}`;
    this.#log.info('policy_changed', { tenant_id, policy: policy_id, state });
  }

  unreachable(fault: unknown): void {
    this.#results.of('unreachable').add();
    if (this.#reach.kind === 'away') return;
    this.#log.warn('policy_source_unreachable', { source: this.#options.source, fault });
    if (this.#reach.kind === 'unheard') return;
    this.#reach = { kind: 'away', sinceMs: this.#options.clock.nowMs(), isRestored: false };
  }

  /** Takes a snapshot, unless the source was heard already; what is held and newer stays. */
  restore(records: readonly PolicyRecord[], savedEpochMs: number): void {
    if (this.#reach.kind !== 'unheard') return;
    const { clock } = this.#options;
    for (const record of records) this.#apply(record);
    const ageMs = Math.max(0, clock.epochMs() - savedEpochMs);
    this.#reach = { kind: 'away', sinceMs: clock.nowMs() - ageMs, isRestored: true };
    this.#log.warn('policies_restored', { count: records.length, state: `${Math.round(ageMs / 1_000)} s old` });
  }

  /** Tells of a change that was skipped, every finding in a line of its own. */
  refuse(tenantId: string, policyId: string, findings: readonly string[]): void {
    this.#results.of('refused').add();
    const isHeld = this.#held.get(tenantId)?.get(policyId) !== undefined;
    const isWithheld = this.#reach.kind === 'unheard' && !isHeld;
    this.#faulty.set(`${tenantId} ${policyId}`, isWithheld ? 'withheld' : 'as before');
    for (const fault of findings) this.#log.error('policy_refused', { tenant_id: tenantId, policy: policyId, fault });
  }

  /** The extension was registered, changed or deleted. */
  extensionChanged(id: string): void {
    for (const [name, { record }] of this.#refused) {
      if (record === undefined || !namesExtension(record.policy, id)) continue;
      this.#refused.delete(name);
      // What is refused still is told again: its faults may be others.
      if (!this.#apply(record)) continue;
      this.#faulty.delete(name);
      this.#log.info('policy_accepted', { tenant_id: record.tenant_id, policy: record.policy_id, source: id });
    }
    for (const held of this.#held.values()) {
      for (const { record } of held.values()) if (namesExtension(record.policy, id)) this.#judgeAgain(record);
    }
  }

  #judgeAgain(record: PolicyRecord): void {
    const { tenant_id: tenantId, policy_id: policyId, revision } = record;
    const parsed = this.#options.parse(record.policy, { tenantId, policyId, revision });
    if (parsed.kind === 'valid') return void this.#unfit.delete(nameOf(record));
    this.#unfit.add(nameOf(record));
    for (const fault of linesOf(parsed.errors))
      this.#log.error('policy_unfit', { tenant_id: tenantId, policy: policyId, fault });
  }

  /** What was refused is good again, or gone, without another revision. */
  mended(tenantId: string, policyId: string): void {
    this.#faulty.delete(`${tenantId} ${policyId}`);
  }

  #heard(): void {
    if (this.#reach.kind === 'live') return;
    if (this.#reach.kind === 'away') this.#log.info('policy_source_reached', { source: this.#options.source });
    this.#reach = { kind: 'live' };
  }

  /** Whether the record took its place. */
  #apply(record: PolicyRecord): boolean {
    const { tenant_id: tenantId, policy_id: policyId, revision } = record;
    const held = this.#held.get(tenantId)?.get(policyId);
    if (held !== undefined && held.record.revision >= revision) return false;
    if (record.deleted) return this.#put(record, undefined);
    const parsed = this.#options.parse(record.policy, { tenantId, policyId, revision });
    if (parsed.kind === 'valid') {
      this.#warned(record, parsed.warnings);
      return this.#put(record, parsed.policy);
    }
    if (this.#isTakenUnfit(record, held)) return true;
    if (this.#refused.get(nameOf(record))?.revision === revision) return false;
    this.#refused.set(nameOf(record), { revision, record: isOfExtensions(parsed.errors) ? record : undefined });
    this.refuse(tenantId, policyId, linesOf(parsed.errors));
    return false;
  }

  /** At a start, and for want of another: a document of which only extensions are the fault. */
  #isTakenUnfit(record: PolicyRecord, held: Held | undefined): boolean {
    if (this.#reach.kind !== 'unheard' || held !== undefined) return false;
    const { tenant_id: tenantId, policy_id: policyId, revision } = record;
    const parsed = this.#options.parse(record.policy, { tenantId, policyId, revision }, NO_EXTENSIONS);
    if (parsed.kind === 'invalid') return false;
    this.#put(record, parsed.policy);
    this.#judgeAgain(record);
    return true;
  }

  /** One line for a policy, however many findings it has: a start reads thousands. */
  #warned({ tenant_id, policy_id: policy, revision }: PolicyRecord, warnings: readonly Issue[]): void {
    const [first] = warnings;
    if (first === undefined) return;
    const fault = `${first.path} ${first.code} ${first.message}`;
    this.#log.warn('policy_warned', { tenant_id, policy, revision, count: warnings.length, fault });
  }

  #put(record: PolicyRecord, policy: Policy | undefined): true {
    const { tenant_id: tenantId, policy_id: policyId } = record;
    const held = this.#held.get(tenantId) ?? new Map<string, Held>();
    const ids = this.#ids.get(tenantId) ?? new Set<string>();
    this.changes.changed(record, held.get(policyId)?.record);
    this.#held.set(tenantId, held.set(policyId, { record, policy }));
    this.#unfit.delete(nameOf(record));
    if (policy === undefined) ids.delete(policyId);
    else this.#ids.set(tenantId, ids.add(policyId));
    // A folder says itself when its file is mended: its older revision may stand here while the file has faults.
    if (this.#refused.delete(nameOf(record))) this.#faulty.delete(nameOf(record));
    this.#results.of(policy === undefined ? 'deleted' : 'applied').add();
    return true;
  }

  #remove(record: PolicyRecord): void {
    const { tenant_id: tenantId, policy_id: policyId } = record;
    this.changes.removed(record);
    const held = this.#held.get(tenantId);
    held?.delete(policyId);
    this.#unfit.delete(`${tenantId} ${policyId}`);
    if (held?.size === 0) this.#held.delete(tenantId);
    const ids = this.#ids.get(tenantId);
    ids?.delete(policyId);
    if (ids?.size === 0) this.#ids.delete(tenantId);
    this.#results.of('removed').add();
  }
}

const linesOf = (errors: readonly Issue[]): readonly string[] =>
  errors.map(({ path, code, message }) => `${path} ${code} ${message}`);

/** Ids have no spaces. */
const nameOf = ({ tenant_id, policy_id }: PolicyRecord): string => `${tenant_id} ${policy_id}`;
