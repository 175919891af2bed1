import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from '../telemetry/metrics.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Facts } from '../policy/facts.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { type Admitted, RateLimits } from './rate-limits.ts';

function policyOf(rate_limit: object, policyId = 'test'): Policy {
  const document = {
    version: '2.0',
    providers: [{ name: 'alder', weight: 1 }],
    rate_limit: { enabled: true, ...rate_limit },
  };
  const parsed = parsePolicy(document, { knownProviders: new Set(['alder']), tenantId: 'acme', policyId, revision: 1 });
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

const factsOf = (more: Partial<Facts> = {}): Facts => ({
  tenantId: 'acme',
  requestId: 'r-1',
  taskType: 'ai.chat',
  stream: false,
  context: {},
  ...more,
});

/** What became of it: admitted, or the code and the wait. */
function ask(limits: RateLimits, policy: Policy, nowMs: number, more: { facts?: Facts; isPush?: boolean } = {}) {
  try {
    return limits.admit(policy, more.facts ?? factsOf(), nowMs, more.isPush ?? true);
  } catch (fault) {
    const { code, retryAfterMs, details } = BeamlineError.from(fault);
    return [code, retryAfterMs, details['limit']];
  }
}
const isAdmitted = (answer: ReturnType<typeof ask>): answer is Admitted => !Array.isArray(answer);

test('a burst passes, then the rate; the wait that is told is exact', () => {
  const limits = new RateLimits(new Metrics());
  const policy = policyOf({ requests_per_second: 10, burst: 2 });
  const answers = [0, 0, 0, 50, 100].map((nowMs) => ask(limits, policy, nowMs));
  assert.deepEqual(
    answers.map((answer) => (isAdmitted(answer) ? 'ok' : answer)),
    [
      'ok',
      'ok',
      ['rate_limit_exceeded', 100, 'requests_per_second'],
      ['rate_limit_exceeded', 50, 'requests_per_second'],
      'ok',
    ],
  );
});

test('routers share a limit: four with a quarter each', () => {
  const limits = new RateLimits(new Metrics(), () => ({ count: 4, rank: 0 }));
  const policy = policyOf({ requests_per_second: 40, burst: 8 });
  const answers = [0, 0, 0].map((nowMs) => ask(limits, policy, nowMs));
  assert.deepEqual(answers.map(isAdmitted), [true, true, false]);
  assert.deepEqual(answers[2], ['rate_limit_exceeded', 100, 'requests_per_second']);
});

test('keys and users are counted apart, and so are tenants and policies', () => {
  const limits = new RateLimits(new Metrics());
  const one = { requests_per_second: 1, burst: 1 };
  const byKey = policyOf({ ...one, scope: 'key' });
  const byUser = policyOf({ ...one, scope: 'user' });
  const asked: readonly (readonly [Policy, Facts])[] = [
    [byKey, factsOf({ keyId: 'k-1' })],
    [byKey, factsOf({ keyId: 'k-2' })],
    [byUser, factsOf({ userId: 'k-1' })],
    [byKey, factsOf({ keyId: 'k-1', tenantId: 'umbra' })],
    [policyOf(one, 'other'), factsOf()],
    [byKey, factsOf({ keyId: 'k-1' })],
  ];
  assert.deepEqual(
    asked.map(([policy, facts]) => isAdmitted(ask(limits, policy, 0, { facts }))),
    [true, true, true, true, true, false],
  );
});

test('no more than so many at a time, until one has ended; a plain decision runs nothing', () => {
  const limits = new RateLimits(new Metrics());
  const policy = policyOf({ max_concurrent: 1 });
  const first = ask(limits, policy, 0);
  assert.ok(isAdmitted(first));
  assert.deepEqual(ask(limits, policy, 0), ['quota_exceeded', 1_000, 'max_concurrent']);
  assert.ok(isAdmitted(ask(limits, policy, 0, { isPush: false })));
  first.end(undefined);
  first.end(undefined);
  assert.ok(isAdmitted(ask(limits, policy, 0)));
  assert.deepEqual(ask(limits, policy, 0), ['quota_exceeded', 1_000, 'max_concurrent']);
});

for (const [limit, parts] of [
  [1, [1, 0, 0]],
  [5, [2, 2, 1]],
  [6, [2, 2, 2]],
] as const) {
  test(`three routers together run ${limit} at a time and never more`, () => {
    const policy = policyOf({ max_concurrent: limit, burst: 100 });
    const run = parts.map((_, rank) => {
      const limits = new RateLimits(new Metrics(), () => ({ count: 3, rank }));
      return Array.from({ length: 10 }, () => ask(limits, policy, 0)).filter(isAdmitted).length;
    });
    assert.deepEqual(run, parts);
  });
}

test('tokens are charged as estimated and corrected by what was taken; a refusal takes nothing', () => {
  const limits = new RateLimits(new Metrics());
  const policy = policyOf({ requests_per_second: 1, burst: 2, tokens_per_minute: 600 });
  const facts = factsOf({ inputTokens: 100, maxOutputTokens: 500 });
  const first = ask(limits, policy, 0, { facts });
  assert.ok(isAdmitted(first));
  assert.deepEqual(ask(limits, policy, 0, { facts }), ['rate_limit_exceeded', 60_000, 'tokens_per_minute']);
  first.end(300);
  assert.deepEqual(ask(limits, policy, 0, { facts }), ['rate_limit_exceeded', 30_000, 'tokens_per_minute']);
  assert.ok(isAdmitted(ask(limits, policy, 30_000, { facts })));
});

test('a document says it within its ranges, and version 1 knows the rate only', () => {
  const faults = (version: string, rate_limit: object) => {
    const document = { version, weights: { alder: 1 }, rate_limit };
    const parsed = parsePolicy(document, {
      knownProviders: new Set(['alder']),
      tenantId: 'acme',
      policyId: 'p',
      revision: 1,
    });
    return parsed.kind === 'valid' ? [] : parsed.errors.map(({ path, code }) => `${path} ${code}`);
  };
  assert.deepEqual(faults('1.0', { enabled: true, requests_per_second: 5, burst: 1 }), []);
  assert.deepEqual(faults('1.0', { enabled: true, scope: 'key' }), ['/rate_limit/scope requires_version_2']);
  assert.deepEqual(faults('2.0', { enabled: true, requests_per_second: 0, burst: 1.5, scope: 'team', rps: 1 }), [
    '/rate_limit/requests_per_second range',
    '/rate_limit/burst type',
    '/rate_limit/scope pattern',
    '/rate_limit/rps unknown_key',
  ]);
});
