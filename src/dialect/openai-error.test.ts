import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import { openAiError } from './openai-error.ts';

for (const [code, type, shown] of [
  ['invalid_request', 'invalid_request_error', 'invalid_request'],
  ['content_blocked', 'invalid_request_error', 'content_filter'],
  ['unauthorized', 'authentication_error', 'invalid_api_key'],
  ['insufficient_credits', 'insufficient_quota', 'insufficient_credits'],
  ['forbidden', 'permission_error', 'forbidden'],
  ['model_not_found', 'not_found_error', 'model_not_found'],
  ['idempotency_conflict', 'invalid_request_error', 'idempotency_conflict'],
  ['request_too_large', 'invalid_request_error', 'request_too_large'],
  ['rate_limit_exceeded', 'rate_limit_error', 'rate_limit_exceeded'],
  ['quota_exceeded', 'rate_limit_error', 'rate_limit_exceeded'],
  ['budget_exceeded', 'insufficient_quota', 'insufficient_quota'],
  ['internal', 'server_error', 'internal'],
  ['provider_protocol_error', 'server_error', 'provider_protocol_error'],
  ['queue_full', 'rate_limit_error', 'rate_limit_exceeded'],
  ['provider_timeout', 'server_error', 'timeout'],
] as const satisfies readonly (readonly [ErrorCode, string, string])[]) {
  test(`${code} shows as ${type} ${shown}`, () => {
    const { error } = openAiError(new BeamlineError(code, 'text'), 'req_1');
    assert.deepEqual([error.type, error.code, error.message, error.request_id], [type, shown, 'text', 'req_1']);
  });
}

for (const [name, code, details, param] of [
  ['the named parameter', 'invalid_request', { param: 'n', fields: [{ path: 'x' }] }, 'n'],
  ['the first bad field', 'invalid_request', { fields: [{ path: 'temperature' }, { path: 'n' }] }, 'temperature'],
  ['the model where that is unknown', 'model_not_found', {}, 'model'],
  ['null elsewhere', 'internal', { fields: 'none' }, null],
] as const) {
  test(`param is ${name}`, () => {
    assert.equal(openAiError(new BeamlineError(code, '', { details }), 'r').error.param, param);
  });
}
