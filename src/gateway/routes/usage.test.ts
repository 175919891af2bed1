import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { LedgerOperation } from '../../contracts/ledger.ts';
import { BeamlineError } from '../../core/errors.ts';
import { openEdge } from '../edge-fixture.ts';

const TOTALS = {
  attempts: 2,
  input_tokens: 4,
  cached_input_tokens: 0,
  cache_write_tokens: 0,
  output_tokens: 2,
  reasoning_tokens: 0,
  cost_micro_usd: 8,
  estimated_attempts: 0,
  unpriced_attempts: 0,
};
const START = Date.UTC(2026, 10, 1);

let asked: { op: LedgerOperation; params: object; tenantId: string } | undefined;
let answer: object | BeamlineError = {};
const edge = await openEdge({
  role: 'viewer',
  askLedger(op, params, { tenantId }) {
    asked = { op, params, tenantId };
    return answer instanceof BeamlineError ? Promise.reject(answer) : Promise.resolve(answer as never);
  },
});
after(() => edge[Symbol.asyncDispose]());

async function get(
  path: string,
  result: object | BeamlineError = {},
): Promise<{ status: number; text: string; json: Record<string, unknown> }> {
  asked = undefined;
  answer = result;
  const response = await fetch(`${edge.url}/api/v1${path}`, { headers: edge.headers });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/') === true;
  return { status: response.status, text, json: isJson ? (JSON.parse(text) as Record<string, unknown>) : {} };
}

const report = {
  period: { since: START, until: START + 1 },
  currency: 'USD',
  price_version: 'v1',
  totals: TOTALS,
  data: [
    { group: { provider: 'alder', user: '=cmd' }, start: START, ...TOTALS },
    { group: { provider: 'birch', user: null }, start: START, ...TOTALS },
  ],
};

test('sums are asked for the tenant of the key, and told with moments', async () => {
  const { status, json } = await get(
    '/usage?since=2026-11-01T00:00:00Z&until=2026-12-01T00:00:00%2B01:00&interval=day&group_by=provider,user',
    report,
  );
  assert.equal(status, 200);
  assert.deepEqual(asked, {
    op: 'usage',
    tenantId: 'acme',
    params: { since: START, until: Date.UTC(2026, 10, 30, 23), interval: 'day', group_by: ['provider', 'user'] },
  });
  assert.deepEqual(
    [json['period'], json['totals']],
    [{ since: '2026-11-01T00:00:00.000Z', until: '2026-11-01T00:00:00.001Z' }, TOTALS],
  );
  assert.equal((json['data'] as { start: string }[])[0]?.start, '2026-11-01T00:00:00.000Z');
});

test('without a period it is the last 30 days', async () => {
  await get('/usage', { ...report, data: [] });
  const { since, until } = (asked?.params ?? {}) as { since: number; until: number };
  assert.equal(until - since, 30 * 86_400_000);
});

test('sums come as CSV, in which nothing is a formula', async () => {
  const { text } = await get('/usage?format=csv&interval=day&group_by=provider,user', report);
  const [head, first, second] = text.split('\r\n');
  assert.match(head ?? '', /^start,provider,user,attempts,/);
  assert.match(first ?? '', /^2026-11-01T00:00:00.000Z,alder,'=cmd,2,4,/);
  assert.match(second ?? '', /^2026-11-01T00:00:00.000Z,birch,,2,4,/);
  const { text: all } = await get('/usage?format=csv', { ...report, data: [] });
  assert.match(all, /^attempts,[^\r]+\r\n2,4,0,0,2,0,8,0,0\r\n$/);
});

test('rows are listed by page', async () => {
  const row = { usage_id: 'u', occurred_at: START, cost_micro_usd: 4 };
  const { json } = await get('/usage/events?limit=1&provider=alder&user=a%20b&cursor=c&status=error', {
    events: [row],
    next_cursor: 'next',
  });
  const { since: _since, until: _until, ...params } = (asked?.params ?? {}) as Record<string, unknown>;
  assert.deepEqual(params, { limit: 1, provider: 'alder', user: 'a b', cursor: 'c', status: 'error' });
  assert.deepEqual(json, {
    data: [{ ...row, occurred_at: '2026-11-01T00:00:00.000Z' }],
    pagination: { limit: 1, next_cursor: 'next', has_more: true },
  });
});

test('a run is told with its steps', async () => {
  const account = { run_id: 'req-1', partial: true, first_at: START, last_at: START, steps: [], ...TOTALS };
  const { json } = await get('/usage/runs/req-1', account);
  assert.deepEqual(
    [asked?.params, json['partial'], json['first_at']],
    [{ run_id: 'req-1' }, true, '2026-11-01T00:00:00.000Z'],
  );
});

test('prices are told with their moments', async () => {
  const line = { provider: 'alder', model: 'small', effective_from: 0, version: 'v1', input: 1, output: 2 };
  const { json } = await get('/prices', { version: 'v1', revision: 3, currency: 'USD', lines: [line] });
  assert.deepEqual(json['lines'], [{ ...line, effective_from: '1970-01-01T00:00:00.000Z' }]);
});

const REFUSED: readonly (readonly [query: string, parameter: string])[] = [
  ['/usage?since=yesterday', 'since'],
  ['/usage?until=2026-13-01T00:00:00Z', 'until'],
  ['/usage?interval=week', 'interval'],
  ['/usage?group_by=provider,provider', 'group_by'],
  ['/usage?group_by=tenant_id', 'group_by'],
  ['/usage?group_by=provider%3BDROP%20TABLE%20spend', 'group_by'],
  ['/usage?format=xml', 'format'],
  ['/usage?tenant_id=zeta', 'tenant_id'],
  ['/usage/events?limit=0', 'limit'],
  ['/usage/events?limit=1e2', 'limit'],
  ['/usage/events?provider=a%20b', 'provider'],
  ['/usage/events?status=good', 'status'],
  ['/usage/runs/a%20b', 'run'],
];

for (const [path, parameter] of REFUSED) {
  test(`${path} is 400 and names ${parameter}`, async () => {
    const { status, json } = await get(path);
    const { details } = json['error'] as { details: { fields: { path: string }[] } };
    assert.deepEqual([status, details.fields[0]?.path, asked], [400, parameter, undefined]);
  });
}

test('what the ledger refuses keeps its code, and a ledger that is away is 503', async () => {
  assert.equal((await get('/usage/runs/none', new BeamlineError('not_found', 'no'))).status, 404);
  assert.equal((await get('/usage', new BeamlineError('unavailable', 'away'))).status, 503);
});

test('a key that only calls models reads no usage', async () => {
  await using other = await openEdge({ role: 'service' });
  const { status } = await fetch(`${other.url}/api/v1/usage`, { headers: other.headers });
  assert.equal(status, 403);
});
