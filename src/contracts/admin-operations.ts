// What each operation of `beamline.router.v2.admin.<op>` needs, takes and gives (contracts 4.14). Names are those of the wire.
import { type Static, Type } from 'typebox';
import { payload, type Payload } from './contract.ts';
import { decideV2, type DecideRequest, type DecideResponse } from './decide.ts';
import type { ExecutedExtension } from './extension.ts';
import type { Failure } from './failure.ts';
import type { ExtensionDocument } from './extension-descriptor.ts';
import { Count, Id, maybe, OpenObject } from './fields.ts';

const Policy = { tenant_id: Id, policy_id: Id };
const Write = { ...Policy, expected_revision: maybe(Count) };
/** New policies have names that are one path segment and one file name. */
const NewPolicyId = Type.String({ minLength: 1, maxLength: 128, pattern: '^[A-Za-z0-9_.-]+$' });
const Extension = { extension_id: Id };
const Scoped = { tenant_id: maybe(Id), provider_id: maybe(Id) };

const PARAMS = {
  get_policy: Type.Object({ ...Policy, revision: maybe(Count) }),
  policy_history: Type.Object(Policy),
  list_policies: Type.Object({
    tenant_id: Id,
    cursor: maybe(Type.String({ maxLength: 512 })),
    limit: maybe(Type.Integer({ minimum: 1, maximum: 200 })),
  }),
  /** Of all tenants; `since` is the `revision` of an earlier page, 0 or absent for everything. */
  policy_changes: Type.Object({
    since: maybe(Count),
    cursor: maybe(Type.String({ maxLength: 512 })),
    limit: maybe(Type.Integer({ minimum: 1, maximum: 200 })),
  }),
  put_policy: Type.Object({ ...Write, policy_id: NewPolicyId, policy: Type.Unknown() }),
  rollback_policy: Type.Object({ ...Write, to_revision: Count }),
  delete_policy: Type.Object(Write),
  validate_policy: Type.Object({ tenant_id: maybe(Id), policy_id: maybe(Id), policy: maybe(Type.Unknown()) }),
  get_complexity: Type.Object({ tenant_id: maybe(Id), policy_id: maybe(Id), policy: maybe(Type.Unknown()) }),
  dry_run: Type.Object({
    request: Type.Unsafe<DecideRequest>(decideV2.request.schema),
    /** A document instead of the stored one; else the stored `revision`, else the current one. */
    policy: maybe(Type.Unknown()),
    revision: maybe(Count),
    seed: maybe(Id),
    time_ms: maybe(Count),
    snapshot: maybe(OpenObject),
    extensions: maybe(Type.Enum(['skip', 'call'])),
  }),
  /** Decides the records of the answering router again: by a document, a stored revision, or what decides now. */
  replay: Type.Object({
    ...Policy,
    policy: maybe(Type.Unknown()),
    revision: maybe(Count),
    /** Both inclusive; the last hour unless told otherwise. */
    from_ms: maybe(Count),
    to_ms: maybe(Count),
    /** A condition of the language of policies: records that it holds for. */
    filter: maybe(Type.Unknown()),
    limit: maybe(Type.Integer({ minimum: 1, maximum: 5_000 })),
  }),
  /** A recorded decision, explained again: by the revision that made it, or by another policy. */
  get_decision: Type.Object({
    tenant_id: Id,
    request_id: Id,
    /** Only if this policy decided it. */
    policy_id: maybe(Id),
    policy: maybe(Type.Unknown()),
    revision: maybe(Count),
  }),
  get_breakers: Type.Object(Scoped),
  get_extension_health: Type.Object(Scoped),
  /** Of the whole system, as its configuration is: an extension has no tenant. */
  list_extensions: Type.Object({
    cursor: maybe(Type.String({ maxLength: 512 })),
    limit: maybe(Type.Integer({ minimum: 1, maximum: 200 })),
  }),
  get_extension: Type.Object(Extension),
  put_extension: Type.Object({ ...Extension, extension: Type.Unknown(), expected_revision: maybe(Count) }),
  delete_extension: Type.Object({ ...Extension, expected_revision: maybe(Count) }),
  /** Closes the breakers of all its versions and instances, on every router. */
  reset_extension_breaker: Type.Object(Extension),
  health: Type.Object({}),
  set_breaker: Type.Object({
    tenant_id: Id,
    provider_id: Id,
    mode: Type.Enum(['auto', 'force_open', 'force_closed']),
    /** With `auto`: closed first, and what was counted forgotten. */
    reset: maybe(Type.Boolean()),
  }),
};

/** One endpoint of an extension as one router knows it. */
export interface ExtensionHealthStatus {
  /** The extension, its version and its instance, as they stand in the subject. */
  readonly endpoint: string;
  readonly status: 'healthy' | 'degraded' | 'unhealthy';
  /** Of the last five minutes, 0 to 1. */
  readonly success_rate: number;
  readonly calls: number;
  readonly breaker: 'closed' | 'half_open' | 'open';
}

/** One extension of the registry; what stands in the configuration has the revision 0 and is not written here. */
export interface RegisteredExtension {
  readonly extension: ExtensionDocument;
  readonly source: 'api' | 'configuration';
  readonly revision: number;
  readonly updated_at_ms?: number;
  readonly updated_by?: string;
}

export type AdminOperation = keyof typeof PARAMS;
export type AdminParams = { readonly [Op in AdminOperation]: Static<(typeof PARAMS)[Op]> };
export type AdminScope =
  | 'decision:read'
  | 'policy:read'
  | 'policy:write'
  | 'policy:delete'
  | 'policy:simulate'
  | 'breaker:reset'
  | 'extension:read'
  | 'extension:write'
  | 'system:read';
export type BreakerMode = AdminParams['set_breaker']['mode'];

/** Reading the complexity of a stored policy tells no more than reading it, and the HTTP API grants it so (gateway 14.2). */
const SCOPES: Readonly<Record<AdminOperation, AdminScope>> = {
  get_policy: 'policy:read',
  policy_history: 'policy:read',
  list_policies: 'policy:read',
  policy_changes: 'policy:read',
  put_policy: 'policy:write',
  rollback_policy: 'policy:write',
  delete_policy: 'policy:delete',
  validate_policy: 'policy:simulate',
  get_complexity: 'policy:read',
  dry_run: 'policy:simulate',
  replay: 'policy:simulate',
  get_decision: 'decision:read',
  get_breakers: 'system:read',
  get_extension_health: 'system:read',
  list_extensions: 'extension:read',
  get_extension: 'extension:read',
  put_extension: 'extension:write',
  delete_extension: 'extension:write',
  reset_extension_breaker: 'breaker:reset',
  health: 'system:read',
  set_breaker: 'breaker:reset',
};

const WRITES: ReadonlySet<AdminOperation> = new Set([
  'put_policy',
  'rollback_policy',
  'delete_policy',
  'set_breaker',
  'put_extension',
  'delete_extension',
  'reset_extension_breaker',
] as const);

/**
 * Asked of every router and not of one, because only those that decided know: the first that does answers, and those
 * that do not answer last.
 */
export const SCATTERED: ReadonlySet<AdminOperation> = new Set(['get_decision'] as const);

interface Declared<Params> {
  readonly scope: AdminScope;
  readonly isWrite: boolean;
  readonly params: Payload<Params>;
}

const declared = <Op extends AdminOperation>(op: Op): Declared<AdminParams[Op]> => ({
  scope: SCOPES[op],
  isWrite: WRITES.has(op),
  params: payload(`beamline.router.AdminParams.${op}`, '2', PARAMS[op]) as Payload<AdminParams[Op]>,
});

export const ADMIN_OPERATIONS = Object.fromEntries(
  Object.keys(PARAMS).map((op) => [op, declared(op as AdminOperation)]),
) as { readonly [Op in AdminOperation]: Declared<AdminParams[Op]> };

export const isAdminOperation = (name: string): name is AdminOperation => Object.hasOwn(PARAMS, name);

/** One finding of a validation; `path` is a JSON Pointer into the document. */
export interface PolicyIssue {
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

/** A stored revision; `policy` is null in the tombstone of a deleted policy. */
export interface StoredPolicy {
  readonly tenant_id: string;
  readonly policy_id: string;
  readonly revision: number;
  readonly policy: unknown;
  readonly digest: string;
  readonly updated_at_ms: number;
  readonly updated_by: string;
  readonly deleted: boolean;
}

export type PolicyVersion = Pick<StoredPolicy, 'revision' | 'digest' | 'updated_at_ms' | 'updated_by' | 'deleted'>;
export type PolicyItem = Pick<StoredPolicy, 'policy_id' | 'revision' | 'updated_at_ms'>;

export interface PolicyChangesPage {
  /** Tombstones included; each policy once, as it is now. */
  readonly items: readonly StoredPolicy[];
  /** Where the router stood when the first page was made. */
  readonly revision: number;
  readonly next_cursor?: string;
}

export interface PolicyWritten {
  readonly revision: number;
  /** The policy was not there before. */
  readonly created: boolean;
  readonly warnings: readonly PolicyIssue[];
}

export interface Complexity {
  readonly extensions: { readonly pre: number; readonly validators: number; readonly post: number };
  /** 0 to 100. */
  readonly score: number;
  readonly level: 'low' | 'medium' | 'high' | 'very_high';
  readonly estimated_latency_ms: number;
  readonly warnings: readonly PolicyIssue[];
}

export interface DryRun {
  /** Absent if nothing could be chosen; `refusal` says why. */
  readonly decision?: NonNullable<DecideResponse['decision']>;
  readonly refusal?: Pick<Failure, 'code' | 'message'>;
  readonly explanation: Readonly<Record<string, unknown>>;
  readonly executed_extensions: readonly ExecutedExtension[];
  /** The extension that ended the request before anything was decided. */
  readonly blocked_by?: string;
  /** The payload as the pre-processors left it; absent if they were not called. */
  readonly final_payload?: Readonly<Record<string, unknown>>;
  /** SHA-256 of the final payload's JSON, hex; absent for a payload that is only referred to. */
  readonly payload_digest?: string;
}

/** Means over the decisions that chose a provider with a mean, and the share of them, 0 to 1; absent if there is none. */
export interface ReplayEstimate {
  readonly is_estimate: true;
  readonly before?: number | undefined;
  readonly after?: number | undefined;
  readonly covered: { readonly before: number; readonly after: number };
}

/** A decision that another policy makes in another way; explanations are left out where the reply has no more room. */
export interface ReplayedDecision {
  readonly time_ms: number;
  readonly seed: string;
  readonly attempt: number;
  readonly recorded: object;
  readonly replayed: object;
  readonly before?: object | undefined;
  readonly after?: object | undefined;
}

/** What another policy would have made of recorded decisions; shares are of all records, 0 to 1. */
export interface ReplayReport<Told = ReplayedDecision> {
  /** Decisions that were replayed, and those whose own revision is known. */
  readonly records: number;
  readonly tested: number;
  /** Tested ones that their own revision decides in another way: each is a defect. */
  readonly mismatch: number;
  readonly same: number;
  readonly changed: number;
  readonly rejected: { readonly before: number; readonly after: number };
  readonly shares: readonly { readonly provider_id: string; readonly before: number; readonly after: number }[];
  readonly expected_latency_ms: ReplayEstimate;
  readonly expected_cost_micro_usd: ReplayEstimate;
  readonly first_mismatches: readonly Told[];
  readonly first_changes: readonly Told[];
}

export interface Replayed extends ReplayReport {
  readonly router_id: string;
  readonly totals: readonly { readonly provider_id: string; readonly before: number; readonly after: number }[];
  /** False if the limit or the time of a reply ended it before the span did. */
  readonly is_complete: boolean;
  /** The time of the last record that was replayed. */
  readonly last_ms?: number;
}

export interface DecidedAttempt {
  readonly attempt: number;
  readonly time_ms: number;
  readonly provider_id?: string;
  readonly model?: string;
  readonly reason?: string;
  /** Execution code of the failure that it follows, where no draw chose it; and the author's reason for an escalation. */
  readonly after?: string;
  readonly why?: string;
  /** Why nothing was chosen. */
  readonly code?: string;
  readonly outcome?: { readonly state: string; readonly code?: string; readonly latency_ms: number };
}

export interface StoredDecision {
  readonly request_id: string;
  readonly tenant_id: string;
  readonly policy_id: string;
  readonly policy_revision: number;
  readonly time_ms: number;
  readonly decision?: NonNullable<DecideResponse['decision']>;
  readonly refusal?: Pick<Failure, 'code' | 'message'>;
  /** Absent if the revision that decided is not known any more. */
  readonly explanation?: Readonly<Record<string, unknown>>;
  /** Each attempt as it was recorded, in order. */
  readonly attempts: readonly DecidedAttempt[];
}

export interface BreakerStatus {
  readonly tenant_id: string;
  readonly provider_id: string;
  readonly state: 'closed' | 'half_open' | 'open';
  readonly mode: BreakerMode;
}

export interface RouterHealth {
  readonly router_id: string;
  readonly source: { readonly kind: string; readonly reachable: boolean; readonly age_ms?: number };
  readonly policies: number;
}

export interface AdminResults {
  readonly get_policy: StoredPolicy;
  readonly policy_history: { readonly revisions: readonly PolicyVersion[] };
  readonly list_policies: { readonly items: readonly PolicyItem[]; readonly next_cursor?: string };
  readonly policy_changes: PolicyChangesPage;
  readonly put_policy: PolicyWritten;
  readonly rollback_policy: PolicyWritten;
  readonly delete_policy: { readonly revision: number };
  readonly validate_policy: {
    readonly valid: boolean;
    readonly errors: readonly PolicyIssue[];
    readonly warnings: readonly PolicyIssue[];
  };
  readonly get_complexity: Complexity;
  readonly dry_run: DryRun;
  readonly replay: Replayed;
  readonly get_decision: StoredDecision;
  readonly get_breakers: { readonly states: readonly BreakerStatus[] };
  readonly get_extension_health: { readonly health: readonly ExtensionHealthStatus[] };
  readonly list_extensions: { readonly items: readonly RegisteredExtension[]; readonly next_cursor?: string };
  readonly get_extension: RegisteredExtension;
  readonly put_extension: RegisteredExtension & { readonly created: boolean };
  readonly delete_extension: Readonly<Record<string, never>>;
  /** As the answering router knows them. */
  readonly reset_extension_breaker: { readonly health: readonly ExtensionHealthStatus[] };
  readonly health: RouterHealth;
  readonly set_breaker: { readonly state: BreakerStatus };
}
