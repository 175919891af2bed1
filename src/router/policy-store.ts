// What may be done to policies, over any source: the one place where a write is judged before it leaves (policy 12.1).
import { BeamlineError } from '../core/errors.ts';
import type { Issue } from '../policy/issue.ts';
import type { ParsePolicy } from '../policy/parse.ts';
import { noSuchPolicy } from './policy-record.ts';
import type { PolicyReplica } from './policy-replica.ts';
import type { PolicyRecord, PolicySource, PolicyWrite } from './policy-source.ts';

/** Policies of a tenant whose record says nothing else. */
const POLICIES_MAX = 100;
/** Ids that a tenant has ever used, per policy: a tombstone is kept for each that is deleted, and must have a bound too. */
const IDS_PER_POLICY = 10;

export interface Written {
  readonly record: PolicyRecord;
  readonly warnings: readonly Issue[];
}

export interface StoreOptions {
  readonly source: PolicySource;
  /** Counts what a tenant has. It may lag the source by a moment, so two routers may together pass the quota by one. */
  readonly replica: PolicyReplica;
  readonly parse: ParsePolicy;
  /** Of the tenants whose record has one. */
  readonly policiesMax?: ReadonlyMap<string, number>;
}

export class PolicyStore {
  readonly #options: StoreOptions;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  /**
   * Throws `validation_failed` with every finding in `details.errors` and `details.warnings`, `capacity_exceeded`
   * above the tenant's quota, `precondition_failed`, and `unavailable` when the source did not confirm.
   */
  async put(write: PolicyWrite, document: unknown): Promise<Written> {
    const { source, parse } = this.#options;
    const { tenantId, policyId } = write;
    const { kind, ...found } = parse(document, { tenantId, policyId, revision: 0 });
    if (kind === 'invalid') {
      throw new BeamlineError('validation_failed', 'the policy is not valid', {
        details: { errors: 'errors' in found ? found.errors : [], warnings: found.warnings },
      });
    }
    this.#assertRoom(tenantId, policyId);
    return { record: await source.put(write, document), warnings: found.warnings };
  }

  /** The tombstone. Throws `not_found`, `precondition_failed`, `unavailable`. */
  delete(write: PolicyWrite): Promise<PolicyRecord> {
    return this.#options.source.delete(write);
  }

  /** The newest 64 revisions, newest first, tombstones included; throws `not_found`. */
  history(tenantId: string, policyId: string): Promise<readonly PolicyRecord[]> {
    return this.#options.source.history(tenantId, policyId);
  }

  /** Writes the document of an old revision as a new one. Throws as `put`, and `not_found` for a revision without one. */
  async rollback(write: PolicyWrite, toRevision: number): Promise<Written> {
    const history = await this.history(write.tenantId, write.policyId);
    const old = history.find(({ revision, deleted }) => revision === toRevision && !deleted);
    if (old === undefined) throw noSuchPolicy();
    return this.put(write, old.policy);
  }

  #assertRoom(tenantId: string, policyId: string): void {
    const { replica, policiesMax } = this.#options;
    const most = policiesMax?.get(tenantId) ?? POLICIES_MAX;
    if (replica.idsOf(tenantId).has(policyId)) return;
    const records = replica.recordsOf(tenantId);
    const isKnown = records.some((record) => record.policy_id === policyId);
    if (replica.idsOf(tenantId).size < most && (isKnown || records.length < most * IDS_PER_POLICY)) return;
    throw new BeamlineError('capacity_exceeded', 'the tenant has as many policies as it may have', {
      details: { policies_max: most },
    });
  }
}
