// Asking an extension: before the decision (pre, validators) or on the output (post) (contracts 4.13, policy 10).
// Extensions are written by others: the reply's shape is read leniently here, and judged by `readReply`, fail closed.
import { Type } from 'typebox';
import type { BeamlineError } from '../core/errors.ts';
import { payload, requestContract } from './contract.ts';
import { Count, Id, maybe, OpenObject, Text } from './fields.ts';

const ExtensionRequest = Type.Object({
  version: Type.Literal('1'),
  type: Type.Enum(['pre', 'validator', 'post']),
  extension_id: Id,
  tenant_id: Id,
  policy_id: Id,
  config: OpenObject,
  /** Time that is left. */
  deadline_ms: Count,
  payload: OpenObject,
  metadata: OpenObject,
  context: OpenObject,
  request_id: maybe(Id),
  trace_id: maybe(Id),
  extension_version: maybe(Id),
  policy_revision: maybe(Count),
});
export type ExtensionRequest = Type.Static<typeof ExtensionRequest>;

const ExtensionReply = Type.Object({
  ok: maybe(Type.Boolean()),
  payload: maybe(OpenObject),
  metadata: maybe(OpenObject),
  context: maybe(OpenObject),
  status: maybe(Type.Enum(['ok', 'reject'])),
  valid: maybe(Type.Boolean()),
  reason: maybe(Text),
  details: maybe(OpenObject),
  error: maybe(Type.Object({ code: Id, message: maybe(Text), retryable: maybe(Type.Boolean()) })),
});
export type ExtensionReply = Type.Static<typeof ExtensionReply>;

const asked = {
  class: 'request_reply',
  headers: 'request_reply_v1',
  request: payload('beamline.ext.ExtensionRequest', '1', ExtensionRequest),
  reply: payload('beamline.ext.ExtensionReply', '1', ExtensionReply),
  refuse: (error: BeamlineError): ExtensionReply => ({
    ok: false,
    error: {
      code: error.code === 'invalid_request' ? 'invalid_payload' : 'processing_error',
      message: error.message.slice(0, 1024),
      retryable: error.code === 'service_overloaded',
    },
  }),
} as const;

export const extensionPre = requestContract({ ...asked, template: 'beamline.ext.pre.<id>.v1' });
export const extensionValidate = requestContract({ ...asked, template: 'beamline.ext.validate.<id>.v1' });
export const extensionPost = requestContract({ ...asked, template: 'beamline.ext.post.<id>.v1' });

/** One that a dry run really called; `status` is `ok`, `rejected`, or the code of its failure. */
export const ExecutedExtension = Type.Object({
  id: Id,
  type: Type.Enum(['pre', 'validator', 'post']),
  status: Id,
  latency_ms: Count,
});
export type ExecutedExtension = Type.Static<typeof ExecutedExtension>;

/** What an extension answered. */
export type ExtensionAnswer =
  | { readonly kind: 'passed'; readonly changes: Pick<ExtensionReply, 'payload' | 'metadata' | 'context'> }
  | { readonly kind: 'rejected'; readonly reason: string; readonly details: Readonly<Record<string, unknown>> }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly retryable: boolean };

/** A reply of no known form is a failure: a validator that did not say yes has not said yes. */
export function readReply(type: ExtensionRequest['type'], reply: ExtensionReply): ExtensionAnswer {
  const { ok = true, error, reason = 'rejected', details = {} } = reply;
  if (error !== undefined || !ok) {
    const { code = 'processing_error', message = 'the extension failed', retryable = false } = error ?? {};
    return { kind: 'failed', code, message, retryable };
  }
  if (type !== 'validator') return { kind: 'passed', changes: reply };
  const isValid = reply.status === undefined ? reply.valid : reply.status === 'ok';
  if (isValid === undefined) {
    return { kind: 'failed', code: 'processing_error', message: 'the reply has no known form', retryable: false };
  }
  return isValid ? { kind: 'passed', changes: {} } : { kind: 'rejected', reason, details };
}
