// Who may administer, and what an operation is: a function of what was asked and of who asked.
import type { AdminOperation, AdminParams, AdminResults, AdminScope } from '../contracts/admin-operations.ts';

/** Who was authorized. */
export interface AdminPrincipal {
  readonly id: string;
  readonly tenants: readonly string[];
  /** Policies that may be named; undefined allows all. */
  readonly policies?: ReadonlySet<string>;
}

/**
 * The principal of a credential that may do `scope` for the tenant, or for any of its own if none is named.
 * Throws `unauthorized`, `forbidden` or `unavailable`; no text of it repeats a credential.
 */
export type Authorize = (
  authorization: string | undefined,
  scope: AdminScope,
  tenantId: string | undefined,
) => AdminPrincipal;

export type Operations<Op extends AdminOperation = AdminOperation> = {
  readonly [Name in Op]: (
    params: AdminParams[Name],
    by: AdminPrincipal,
  ) => AdminResults[Name] | Promise<AdminResults[Name]>;
};
