import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXECUTION_ERRORS } from '../core/execution-errors.ts';
import type { UpstreamError } from '../dialect/openai-chat.ts';
import { classifyFault, classifyRefusal } from './classify.ts';

const said = (error: Partial<UpstreamError>): UpstreamError => ({
  type: undefined,
  code: undefined,
  message: undefined,
  ...error,
});

for (const [status, error, expected] of [
  [400, {}, 'INVALID_INPUT provider'],
  [400, { code: 'context_length_exceeded' }, 'CONTEXT_LENGTH_EXCEEDED'],
  [400, { message: 'Prompt is too long: 9 tokens' }, 'CONTEXT_LENGTH_EXCEEDED'],
  [400, { message: "This model's maximum context length is 8" }, 'CONTEXT_LENGTH_EXCEEDED'],
  [400, { code: 'content_filter' }, 'CONTENT_BLOCKED'],
  [400, { code: 'API_KEY_INVALID' }, 'PROVIDER_AUTH_FAILED'],
  [401, {}, 'PROVIDER_AUTH_FAILED'],
  [402, {}, 'PROVIDER_AUTH_FAILED billing'],
  [403, {}, 'PROVIDER_AUTH_FAILED'],
  [404, {}, 'MODEL_NOT_FOUND'],
  [405, {}, 'INVALID_INPUT provider'],
  [408, {}, 'CONNECTION_TIMEOUT upstream'],
  [409, {}, 'INVALID_INPUT provider'],
  [413, {}, 'INVALID_INPUT provider'],
  [415, {}, 'INVALID_INPUT provider'],
  [418, {}, 'INVALID_INPUT provider'],
  [422, {}, 'INVALID_INPUT provider'],
  [424, {}, 'PROVIDER_UNAVAILABLE http_5xx'],
  [429, {}, 'PROVIDER_RATE_LIMITED'],
  [429, { type: 'insufficient_quota' }, 'PROVIDER_AUTH_FAILED billing'],
  [500, {}, 'PROVIDER_UNAVAILABLE http_5xx'],
  [502, {}, 'PROVIDER_UNAVAILABLE http_5xx'],
  [503, {}, 'PROVIDER_UNAVAILABLE overloaded'],
  [504, {}, 'CONNECTION_TIMEOUT upstream'],
  [529, {}, 'PROVIDER_UNAVAILABLE overloaded'],
  [204, {}, 'PROVIDER_PROTOCOL_ERROR status'],
  [206, {}, 'PROVIDER_PROTOCOL_ERROR status'],
  [302, {}, 'PROVIDER_PROTOCOL_ERROR redirect'],
  [777, {}, 'PROVIDER_PROTOCOL_ERROR status'],
  [undefined, {}, 'PROVIDER_UNAVAILABLE http_5xx'],
  [undefined, { code: '429' }, 'PROVIDER_RATE_LIMITED'],
  [undefined, { type: 'overloaded_error' }, 'PROVIDER_UNAVAILABLE overloaded'],
  [undefined, { type: 'rate_limit_error' }, 'PROVIDER_RATE_LIMITED'],
  [undefined, { type: 'invalid_request_error', message: 'prompt is too long' }, 'CONTEXT_LENGTH_EXCEEDED'],
  [undefined, { code: 'toString' }, 'PROVIDER_UNAVAILABLE http_5xx'],
] as const) {
  test(`${status ?? 'no status'} with ${JSON.stringify(error)} is ${expected}`, () => {
    const failure = classifyRefusal({ ...(status === undefined ? {} : { status }), error: said(error) });
    assert.equal([failure.code, failure.detailCode].filter(Boolean).join(' '), expected);
    assert.equal(failure.httpStatus, status);
  });
}

test('every status has a code', () => {
  for (let status = 200; status < 1000; status++) {
    assert.ok(Object.hasOwn(EXECUTION_ERRORS, classifyRefusal({ status, error: undefined }).code));
  }
});

test("a bad request keeps the provider's words, redacted and short", () => {
  const message = `key abc!def and sk-12345678 at https://x.example/y ${'z'.repeat(9999)}`;
  const failure = classifyRefusal({ status: 400, error: said({ message }), secret: 'abc!def' });
  assert.ok(failure.message.startsWith('key *** and *** at <address> zzz'));
  assert.equal(failure.message.length, 512);
});

test("no other refusal repeats the provider's words", () => {
  for (const status of [401, 403, 404, 429, 500, 503]) {
    assert.doesNotMatch(classifyRefusal({ status, error: said({ message: 'tell-tale' }) }).message, /tell-tale/);
  }
});

for (const [code, hasHead, expected] of [
  ['UND_ERR_CONNECT_TIMEOUT', false, 'CONNECTION_TIMEOUT connect'],
  ['ECONNREFUSED', false, 'NETWORK_ERROR refused'],
  ['ECONNRESET', true, 'NETWORK_ERROR reset'],
  ['ENOTFOUND', false, 'NETWORK_ERROR dns'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', false, 'NETWORK_ERROR tls'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', false, 'NETWORK_ERROR tls'],
  ['UND_ERR_SOCKET', false, 'NETWORK_ERROR closed'],
  ['UND_ERR_SOCKET', true, 'PROVIDER_PROTOCOL_ERROR truncated'],
  ['UND_ERR_HEADERS_OVERFLOW', false, 'PROVIDER_PROTOCOL_ERROR headers_too_large'],
  ['HTTPParserError', true, 'PROVIDER_PROTOCOL_ERROR http'],
  ['', false, 'NETWORK_ERROR closed'],
] as const) {
  test(`${code === '' ? 'an unknown fault' : code} ${hasHead ? 'after' : 'before'} the head is ${expected}`, () => {
    const failure = classifyFault(code, hasHead);
    assert.equal(`${failure.code} ${failure.detailCode}`, expected);
  });
}
