// Reading policies for administrators: one, its revisions, and those of a tenant.
import type { PolicyVersion, StoredPolicy } from '../contracts/admin-operations.ts';
import type { ExtensionDocument } from '../contracts/extension-descriptor.ts';
import { BeamlineError } from '../core/errors.ts';
import type { PolicyKey } from '../policy/compile.ts';
import { listsProvider, namesExtension } from '../policy/extension-document.ts';
import type { ParsePolicy } from '../policy/parse.ts';
import type { PolicyFeed } from './admin-policy-changes.ts';
import type { AdminPrincipal, Operations } from './admin-principal.ts';
import type { Policies } from './policies.ts';
import type { PolicyReplica } from './policy-replica.ts';
import type { PolicyRecord, PolicyWrite } from './policy-source.ts';
import type { PolicyStore, Written } from './policy-store.ts';

/** The policies of the source, as administration needs them; reads come from the replica. */
export interface PolicyAdmin extends Pick<Policies, 'find'> {
  /** The newest revision; undefined for what was never written, and for what was deleted. */
  get(tenantId: string, policyId: string): PolicyRecord | undefined;
  /** The policies of a tenant that are not deleted. */
  list(tenantId: string): readonly PolicyRecord[];
  /** Those of all tenants that name the extension, tombstones not; throws `unavailable` until the source was read. */
  naming(extension: Pick<ExtensionDocument, 'id' | 'type'>): readonly PolicyRecord[];
  /** Of all tenants. */
  count(): number;
  /** Of all tenants, tombstones included, with what changed. */
  readonly feed: PolicyFeed;
  /** The newest revisions, newest first, tombstones included; throws `not_found`. */
  history(tenantId: string, policyId: string): Promise<readonly PolicyRecord[]>;
  /** Throws `validation_failed` with `errors` and `warnings` in the details, `precondition_failed`, `capacity_exceeded`, `unavailable`. */
  put(write: PolicyWrite, document: unknown): Promise<Written>;
  /** Writes the document of an old revision as a new one; throws `not_found` too. */
  rollback(write: PolicyWrite, toRevision: number): Promise<Written>;
  /** Throws `not_found` for what is absent, `precondition_failed`, `unavailable`. */
  delete(write: PolicyWrite): Promise<PolicyRecord>;
  /** Checks a document as a write would; never throws. */
  readonly check: ParsePolicy;
}

/** Of what the router holds and of what writes to its source; `check` is the parser that both use. */
export function policyAdminOf(
  replica: Pick<PolicyReplica, 'find' | 'isReady' | 'records'> & PolicyFeed,
  store: Pick<PolicyStore, 'history' | 'put' | 'rollback' | 'delete'>,
  check: PolicyAdmin['check'],
): PolicyAdmin {
  const list = (tenantId: string): readonly PolicyRecord[] =>
    replica.recordsOf(tenantId).filter(({ deleted }) => !deleted);
  return {
    find: (tenantId, policyId) => replica.find(tenantId, policyId),
    get: (tenantId, policyId) => list(tenantId).find(({ policy_id }) => policy_id === policyId),
    list,
    naming({ id, type }) {
      if (!replica.isReady) throw new BeamlineError('unavailable', 'the policies were not read yet');
      const names = type === 'provider' ? listsProvider : namesExtension;
      return replica.records().filter(({ deleted, policy }) => !deleted && names(policy, id));
    },
    feed: replica,
    count: () => replica.records().filter(({ deleted }) => !deleted).length,
    history: (tenantId, policyId) => store.history(tenantId, policyId),
    put: (write, document) => store.put(write, document),
    rollback: (write, toRevision) => store.rollback(write, toRevision),
    delete: (write) => store.delete(write),
    check,
  };
}

const LIMIT = 50;

export const policyReads = (policies: PolicyAdmin): Operations<'get_policy' | 'policy_history' | 'list_policies'> => ({
  async get_policy({ tenant_id, policy_id, revision }) {
    const record =
      revision === undefined
        ? policies.get(tenant_id, policy_id)
        : await recordOf(policies, { tenantId: tenant_id, policyId: policy_id, revision });
    if (record === undefined) throw absent();
    return { ...record } satisfies StoredPolicy;
  },
  async policy_history({ tenant_id, policy_id }) {
    const revisions = await policies.history(tenant_id, policy_id);
    return {
      revisions: revisions.map(({ revision, digest, updated_at_ms, updated_by, deleted }): PolicyVersion => ({
        revision,
        digest,
        updated_at_ms,
        updated_by,
        deleted,
      })),
    };
  },
  list_policies({ tenant_id, cursor = '', limit = LIMIT }, by) {
    const after = policies
      .list(tenant_id)
      .filter(({ policy_id }) => policy_id > cursor && mayUse(by, policy_id))
      .toSorted((a, b) => (a.policy_id < b.policy_id ? -1 : 1));
    const items = after
      .slice(0, limit)
      .map(({ policy_id, revision, updated_at_ms }) => ({ policy_id, revision, updated_at_ms }));
    const last = items.at(-1);
    return last === undefined || after.length <= limit ? { items } : { items, next_cursor: last.policy_id };
  },
});

/** One revision of a policy; undefined if it is not among those that are kept. */
export async function recordOf(policies: PolicyAdmin, key: PolicyKey): Promise<PolicyRecord | undefined> {
  const revisions = await policies.history(key.tenantId, key.policyId);
  return revisions.find(({ revision }) => revision === key.revision);
}

export const absent = (): BeamlineError => new BeamlineError('policy_not_found', 'the tenant has no such policy');

const mayUse = (by: AdminPrincipal, policyId: string): boolean => by.policies?.has(policyId) ?? true;
