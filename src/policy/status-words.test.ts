import assert from 'node:assert/strict';
import { test } from 'node:test';
import { executionRow } from '../core/execution-errors.ts';
import { statusWords } from './status-words.ts';

const CASES: readonly (readonly [code: string, httpStatus: number | undefined, words: readonly string[]])[] = [
  ['WORKER_LOST', undefined, ['unavailable', 'worker_lost']],
  ['PROVIDER_UNAVAILABLE', 503, ['unavailable', 'provider_unavailable', '503', '5xx']],
  ['PROVIDER_RATE_LIMITED', undefined, ['limit', 'provider_rate_limited', 'rate_limited']],
  ['PROVIDER_RATE_LIMITED', 429, ['limit', 'provider_rate_limited', '429', '4xx', 'rate_limited']],
  ['PROVIDER_AUTH_FAILED', 401, ['execution', 'provider_auth_failed', '401', '4xx']],
  ['CONTENT_BLOCKED', undefined, ['validation', 'content_blocked']],
];

for (const [code, httpStatus, words] of CASES) {
  test(`${code} with status ${httpStatus ?? 'none'} is known as ${words.join(', ')}`, () => {
    assert.deepEqual(statusWords({ code, class: executionRow(code).class, httpStatus }), words);
  });
}
