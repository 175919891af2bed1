// Serves administration over the bus: who may, what was asked, and a line in the log for every write.
// A1. Nothing of a request is checked or done before its caller was authorized for the operation and for the tenant.
// A2. Every write is audited, refused ones included; never with content.
// A3. A bad request is always answered.
import type { Bus, Received, Subscription } from '../bus/bus.ts';
import { adminContextOf, adminV2, type AdminReply, type AdminRequest } from '../contracts/admin.ts';
import {
  ADMIN_OPERATIONS,
  type AdminOperation,
  type AdminResults,
  isAdminOperation,
  type RouterHealth,
  SCATTERED,
} from '../contracts/admin-operations.ts';
import { at, everyOf } from '../contracts/contract.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { type BreakerAdmin, breakerOperations } from './admin-breakers.ts';
import { decisionReads } from './admin-decisions.ts';
import { type ExtensionAdmin, extensionOperations } from './admin-extensions.ts';
import type { Moment } from './admin-moment.ts';
import { policyChanges } from './admin-policy-changes.ts';
import { type PolicyAdmin, policyReads } from './admin-policy-reads.ts';
import { policyWrites } from './admin-policy-writes.ts';
import type { AdminPrincipal, Authorize, Operations } from './admin-principal.ts';
import { replays } from './admin-replay.ts';
import { type Rehearse, simulations } from './admin-simulations.ts';
import type { KeptRecords } from './kept-records.ts';

/** What the process gives a router, so that it can be administered. */
export interface Administration {
  readonly authorize: Authorize;
  readonly policies: PolicyAdmin;
  /** How the source of policies is now. */
  source(): RouterHealth['source'];
}

export interface AdminDeps extends Administration {
  readonly bus: Bus;
  readonly telemetry: Telemetry;
  readonly routerId: string;
  readonly breakers: BreakerAdmin;
  readonly extensions: ExtensionAdmin;
  /** Calls extensions for a dry run. */
  readonly rehearse: Rehearse;
  /** What the router knows now, for a decision that has no effect. */
  readonly moment: Moment;
  readonly timers: Timers;
  /** What this router decided; undefined: nothing is recorded. */
  readonly records: () => Promise<KeptRecords | undefined>;
  /** Whether there is no other router. */
  readonly isAlone: () => boolean;
}

/** One subscription for what one router answers, and one for each operation that is asked of all. */
export function serveAdmin(deps: AdminDeps): readonly Subscription[] {
  const { clock } = deps.timers;
  const operations: Operations = {
    ...policyReads(deps.policies),
    ...policyChanges(deps.policies.feed),
    ...policyWrites(deps.policies),
    ...simulations({ ...deps, clock }),
    ...replays({ ...deps, clock }),
    ...decisionReads(deps),
    ...breakerOperations(deps.breakers, deps.policies),
    health: () => ({ router_id: deps.routerId, source: deps.source(), policies: deps.policies.count() }),
    ...extensionOperations(deps.extensions, deps.policies),
  };
  const { log } = deps.telemetry;
  const answer = async (request: AdminRequest, received: Received): Promise<AdminReply> => {
    const op = received.subject.slice(received.subject.lastIndexOf('.') + 1);
    if (!isAdminOperation(op)) throw new BeamlineError('invalid_request', 'there is no such operation');
    const audit = (by: AdminPrincipal | undefined, told: Told): void => {
      if (ADMIN_OPERATIONS[op].isWrite) log.info('admin_write', { ...lineOf(op, request, by), ...told });
    };
    let by: AdminPrincipal | undefined;
    try {
      by = admit(deps.authorize, op, request, received);
      const result = await run(operations, op, request, by);
      audit(by, { revision: revisionOf(result) });
      return { version: '2', ok: true, result: { ...result }, context: adminContextOf(request) } satisfies AdminReply;
    } catch (thrown) {
      audit(by, { code: BeamlineError.from(thrown).code });
      throw thrown;
    }
  };
  return [
    deps.bus.serve(everyOf(adminV2), { queue: 'router' }, answer),
    ...[...SCATTERED].map((op) => deps.bus.serve(at(adminV2, { op }), {}, answer)),
  ];
}

type Told = { readonly revision?: number | undefined; readonly code?: string };

/** Throws what `authorize` throws, and `forbidden` for a policy that the key may not use. */
function admit(authorize: Authorize, op: AdminOperation, { params }: AdminRequest, received: Received): AdminPrincipal {
  const { tenantId, policyId } = namedIn(params);
  const by = authorize(received.authorization, ADMIN_OPERATIONS[op].scope, tenantId);
  if (tenantId !== undefined && (received.tenantId ?? NO_TENANT) !== NO_TENANT && received.tenantId !== tenantId) {
    throw new BeamlineError('invalid_request', 'header and params name different tenants', {
      details: { intake: 'CORRELATION_FIELDS_INVALID' },
    });
  }
  if (policyId !== undefined && by.policies?.has(policyId) === false) {
    throw new BeamlineError('forbidden', 'the key may not use this policy');
  }
  return by;
}

async function run<Op extends AdminOperation>(
  operations: Operations<Op>,
  op: Op,
  { params }: AdminRequest,
  by: AdminPrincipal,
): Promise<AdminResults[Op]> {
  const { params: declared } = ADMIN_OPERATIONS[op];
  if (!declared.check(params)) throw new BeamlineError('invalid_request', declared.fault(params).slice(0, 512));
  return operations[op](params, by);
}

const NO_TENANT = '-';

/** The tenant and the policy that the params name, which may not be checked yet. */
function namedIn(params: AdminRequest['params']): { tenantId: string | undefined; policyId: string | undefined } {
  const request = params['request'];
  const from = typeof request === 'object' && request !== null ? (request as AdminRequest['params']) : params;
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  const policyId = text(from['policy_id']);
  return { tenantId: text(from['tenant_id']), policyId: from === params ? policyId : (policyId ?? 'default') };
}

function lineOf(op: AdminOperation, { request_id, params }: AdminRequest, by: AdminPrincipal | undefined) {
  const { tenantId, policyId } = namedIn(params);
  const provider = params['provider_id'];
  const mode = params['mode'];
  const extension = params['extension_id'];
  return {
    request_id,
    operation: op,
    key_id: by?.id,
    tenant_id: tenantId?.slice(0, 128),
    policy: policyId?.slice(0, 128),
    provider: typeof provider === 'string' ? provider.slice(0, 128) : undefined,
    source: typeof extension === 'string' ? extension.slice(0, 128) : undefined,
    state: typeof mode === 'string' ? mode.slice(0, 32) : undefined,
  };
}

const revisionOf = (result: object): number | undefined =>
  'revision' in result && typeof result.revision === 'number' ? result.revision : undefined;
