import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRetryAfter } from './retry-after.ts';

const requests = (remaining: string) => ({ 'x-ratelimit-remaining-requests': remaining });
const anthropic = (limit: string, remaining: string, reset: string) => ({
  [`anthropic-ratelimit-${limit}-remaining`]: remaining,
  [`anthropic-ratelimit-${limit}-reset`]: reset,
});

const now = Date.parse('2026-11-21T10:00:00Z');
for (const [headers, expected] of [
  [{ 'retry-after': '7' }, 7000],
  [{ 'retry-after': '0' }, 0],
  [{ 'retry-after': '1.5' }, 1500],
  [{ 'retry-after': '1000000000' }, 60_000],
  [{ 'retry-after': '1e9' }, undefined],
  [{ 'retry-after': '-3' }, undefined],
  [{ 'retry-after': 'NaN' }, undefined],
  [{ 'retry-after': '' }, undefined],
  [{ 'retry-after': '2027' + '-01-01' }, undefined],
  [{ 'retry-after': ['1', '2'] }, undefined],
  [{ 'retry-after': 'Sat, 21 Nov 2026 10:00:09 GMT' }, 9000],
  [{ 'retry-after': 'Sat, 21 Nov 2026 09:00:00 GMT' }, undefined],
  [{ 'retry-after': 'Sat, 21 Nov 2099 09:00:00 GMT' }, 60_000],
  [{ 'retry-after-ms': '250' }, 250],
  [{ 'retry-after-ms': '250', 'retry-after': '3' }, 3000],
  [{ 'retry-after-ms': '4000', 'retry-after': 'soon' }, 4000],
  [{}, undefined],
  [{ ...requests('0'), 'x-ratelimit-reset-requests': '1s' }, 1000],
  [{ ...requests('0'), 'x-ratelimit-reset-requests': '6m0s' }, 60_000],
  [{ ...requests('0'), 'x-ratelimit-reset-requests': '20ms' }, 20],
  [{ ...requests('0'), 'x-ratelimit-reset-requests': '1.5s' }, 1500],
  [{ ...requests('0'), 'x-ratelimit-reset-requests': '1h0m0.5s' }, 60_000],
  [{ ...requests('0'), 'x-ratelimit-reset-requests': '7' }, undefined],
  [{ ...requests('0'), 'x-ratelimit-reset-requests': '-1s' }, undefined],
  [{ ...requests('0'), 'x-ratelimit-reset-requests': '' }, undefined],
  [{ ...requests('0') }, undefined],
  [{ ...requests('12'), 'x-ratelimit-reset-requests': '9s' }, undefined],
  [{ 'x-ratelimit-reset-requests': '9s' }, undefined],
  [{ ...requests('0'), 'x-ratelimit-reset-requests': '2s', 'retry-after': '3' }, 3000],
  [{ 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '4s', 'retry-after': '3' }, 4000],
  [{ ...anthropic('tokens', '0', '2026-11-21T10:00:09Z') }, 9000],
  [{ ...anthropic('output-tokens', '0', '2026-11-21T10:00:09Z') }, 9000],
  [{ ...anthropic('requests', '0', '2026-11-21T09:00:00Z') }, undefined],
  [{ ...anthropic('requests', '5', '2026-11-21T10:00:09Z') }, undefined],
  [{ ...anthropic('requests', '0', '2026') }, undefined],
] as const) {
  test(`${JSON.stringify(headers)} asks to wait ${expected ?? 'nothing'}`, () => {
    assert.equal(readRetryAfter(headers as Record<string, string | string[]>, now), expected);
  });
}
