// What a refusal says, in the replies that callers read: the code, a text for people, and which request it was.
import { Type } from 'typebox';
import { type BeamlineError, errorRow } from '../core/errors.ts';
import { Count, Id, maybe, OpenObject, Text } from './fields.ts';

export const FAILURE_FIELDS = {
  code: Id,
  message: Text,
  intake_error_code: maybe(Id),
  details: maybe(OpenObject),
};

/** The failure of version 2. */
export const Failure = Type.Object({
  ...FAILURE_FIELDS,
  retryable: Type.Boolean(),
  retry_after_ms: maybe(Count),
});
export type Failure = Type.Static<typeof Failure>;

export const ReplyContext = Type.Object({ request_id: maybe(Id), trace_id: maybe(Id), tenant_id: maybe(Id) });
export type ReplyContext = Type.Static<typeof ReplyContext>;

/** Codes of contracts 5.2 that v1 clients know, by what our own check found. */
export const intakeCode = (error: BeamlineError): string | undefined =>
  typeof error.details['intake'] === 'string'
    ? error.details['intake']
    : error.code === 'invalid_request'
      ? 'SCHEMA_VALIDATION_FAILED'
      : undefined;

export function failureOf(error: BeamlineError): Failure {
  const intake = intakeCode(error);
  return {
    code: error.code,
    message: error.message.slice(0, 1024),
    retryable: errorRow(error.code).retry,
    ...(intake === undefined ? {} : { intake_error_code: intake }),
    ...(error.retryAfterMs === undefined ? {} : { retry_after_ms: Math.ceil(error.retryAfterMs) }),
    details: error.details,
  };
}

/** What can be told of a request that may be unreadable. */
export function contextOf(request: unknown): ReplyContext {
  const context: ReplyContext = {};
  if (typeof request !== 'object' || request === null) return context;
  const fields = request as Readonly<Record<string, unknown>>;
  for (const name of ['request_id', 'trace_id', 'tenant_id'] as const) {
    const id = fields[name];
    if (typeof id === 'string' && /^[\x21-\x7e]{1,128}$/.test(id)) context[name] = id;
  }
  return context;
}
