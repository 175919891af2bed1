import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BeamlineError, type ErrorCode, ERRORS, errorRow } from '../core/errors.ts';
import { errorAnswer } from './error-answer.ts';
import { HTTP_DIALECTS, type HttpDialect } from './http-dialect.ts';

const context = { requestId: 'req_1', traceId: 'trace', tenantId: 'acme' };
const codes = Object.keys(ERRORS) as ErrorCode[];
const headersOf = (flat: readonly string[]): ReadonlyMap<string, string> =>
  new Map(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] ?? '']] : [])));

/** Where each envelope holds its request id, and the shape of the rest. */
const SHAPES: Record<HttpDialect, (body: Record<string, Record<string, unknown>>) => unknown> = {
  openai: ({ error }) => error?.['request_id'],
  anthropic: (body) => body['request_id'],
  native: (body) => body['context']?.['request_id'],
};

for (const dialect of HTTP_DIALECTS) {
  test(`every code has one status and one retry flag in the ${dialect} dialect`, () => {
    for (const code of codes) {
      const answer = errorAnswer(new BeamlineError(code, 'what happened'), dialect, context);
      const row = errorRow(code);
      const headers = headersOf(answer.headers);
      assert.equal(answer.status, row.http, code);
      assert.equal(answer.code, row.as ?? code);
      assert.equal(headers.get('x-should-retry'), String(row.retry), code);
      const isTimed = [429, 503].includes(row.http) || code === 'idempotency_in_progress';
      assert.equal(headers.get('retry-after'), isTimed ? '1' : undefined, code);
      const body = JSON.parse(answer.body) as Record<string, Record<string, unknown>>;
      assert.equal(SHAPES[dialect](body), 'req_1', code);
      assert.equal(body['error']?.['message'] !== '', true);
      if (dialect !== 'anthropic' && row.as !== undefined) assert.equal(body['error']?.['code'], row.as);
    }
  });
}

test('the Anthropic type follows the status', () => {
  const typeOf = (code: ErrorCode): unknown => {
    const { body } = errorAnswer(new BeamlineError(code, ''), 'anthropic', context);
    return (JSON.parse(body) as { error: { type: string } }).error.type;
  };
  assert.deepEqual(
    (
      [
        'invalid_request',
        'insufficient_credits',
        'request_too_large',
        'internal',
        'provider_error',
        'unavailable',
        'timeout',
      ] as const
    ).map(typeOf),
    [
      'invalid_request_error',
      'billing_error',
      'request_too_large',
      'api_error',
      'api_error',
      'overloaded_error',
      'timeout_error',
    ],
  );
});

test('a wait of more than a minute is not for a client to sit out', () => {
  const error = new BeamlineError('rate_limit_exceeded', 'spent', { retryAfterMs: 61_000 });
  const headers = headersOf(errorAnswer(error, 'openai', context).headers);
  assert.deepEqual([headers.get('x-should-retry'), headers.get('retry-after')], ['false', '61']);
});

test('a native problem tells the intake code beside the details, never among them', () => {
  const error = new BeamlineError('invalid_request', 'bad', {
    details: { intake_error_code: 'SCHEMA_VALIDATION_FAILED', reason: 'schema' },
  });
  const { body } = errorAnswer(error, 'native', context);
  const problem = JSON.parse(body) as { title: string; error: Record<string, unknown> };
  assert.equal(problem.title, 'Invalid request');
  assert.equal(problem.error['intake_error_code'], 'SCHEMA_VALIDATION_FAILED');
  assert.deepEqual(problem.error['details'], { reason: 'schema' });
});
