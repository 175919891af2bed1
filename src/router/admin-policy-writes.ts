// Writing policies: put, rollback, delete. The answer comes after the source confirmed (policy 12.1).
import type { PolicyWritten } from '../contracts/admin-operations.ts';
import type { AdminPrincipal, Operations } from './admin-principal.ts';
import type { PolicyAdmin } from './admin-policy-reads.ts';
import type { PolicyWrite } from './policy-source.ts';
import type { Written } from './policy-store.ts';

interface Named {
  readonly tenant_id: string;
  readonly policy_id: string;
  readonly expected_revision?: number;
}

export const policyWrites = (
  policies: PolicyAdmin,
): Operations<'put_policy' | 'rollback_policy' | 'delete_policy'> => ({
  async put_policy(params, by) {
    const isNew = policies.get(params.tenant_id, params.policy_id) === undefined;
    return written(await policies.put(writeOf(params, by), params.policy), isNew);
  },
  async rollback_policy(params, by) {
    const isNew = policies.get(params.tenant_id, params.policy_id) === undefined;
    return written(await policies.rollback(writeOf(params, by), params.to_revision), isNew);
  },
  async delete_policy(params, by) {
    const { revision } = await policies.delete(writeOf(params, by));
    return { revision };
  },
});

const writeOf = ({ tenant_id, policy_id, expected_revision }: Named, by: AdminPrincipal): PolicyWrite => ({
  tenantId: tenant_id,
  policyId: policy_id,
  expectedRevision: expected_revision,
  by: by.id,
});

const written = ({ record, warnings }: Written, created: boolean): PolicyWritten => ({
  revision: record.revision,
  created,
  warnings,
});
