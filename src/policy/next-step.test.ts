import assert from 'node:assert/strict';
import { test } from 'node:test';
import { executionRow } from '../core/execution-errors.ts';
import { unit } from '../core/hash.ts';
import type { Facts, Live } from './facts.ts';
import { allFailed, begun, type History, moved, repeated, retried } from './history.ts';
import { nextStep } from './next-step.ts';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';
import type { Failure } from './status-words.ts';

const FACTS: Facts = { tenantId: 'kestrel', requestId: 'rq-1', taskType: 'ai.chat', stream: true, context: {} };
const FIXED = { strategy: 'fixed', base_ms: 100, jitter: false };

function policyOf(fallbacks: readonly object[], more: object = {}): Policy {
  const parsed = parsePolicy(
    {
      version: '2.0',
      weights: { alder: 70, birch: 30, cedar: 0 },
      retry: { backoff: FIXED },
      fallbacks,
      ...more,
    },
    { knownProviders: new Set(['alder', 'birch', 'cedar']), tenantId: 'kestrel', policyId: 'default', revision: 1 },
  );
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

function target(policy: Policy, name: string) {
  const found = policy.targets.find((one) => one.name === name);
  assert.ok(found);
  return found;
}

const failed = (code: string, more: Partial<Failure> = {}): Failure => ({
  code,
  class: executionRow(code).class,
  retryable: executionRow(code).retryable,
  committed: false,
  ...more,
});

const TO_BIRCH = { when: { status: '5xx' }, retry: 1, backoff: FIXED, to: 'birch' };
const TO_CEDAR = { when: { status: ['5xx', 'timeout'] }, retry: 0, backoff: FIXED, to: 'cedar' };
const DOWN = failed('PROVIDER_UNAVAILABLE', { httpStatus: 503 });

const ESCALATE = (to: string, when: object | string): object => ({ when, to });

interface Case {
  readonly when: string;
  readonly step: string;
  readonly failure: Failure;
  readonly fallbacks?: readonly object[];
  readonly more?: object;
  readonly facts?: Partial<Facts>;
  readonly history?: (history: History, policy: Policy) => History;
  readonly timeLeftMs?: number;
  readonly live?: Live;
}

const CASES: readonly Case[] = [
  // Case 1
  {
    when: 'a stream was committed',
    failure: { ...DOWN, committed: true },
    fallbacks: [TO_BIRCH],
    step: 'end provider_unavailable',
  },
  { when: 'the caller cancelled', failure: failed('CANCELLED_BY_USER'), step: 'end cancelled' },
  { when: 'hardly any time is left', failure: DOWN, timeLeftMs: 99, step: 'end provider_unavailable' },
  { when: 'the time is up', failure: DOWN, timeLeftMs: 0, step: 'end deadline_exceeded' },
  {
    when: 'the caller cancelled at the deadline',
    failure: failed('CANCELLED_BY_USER'),
    timeLeftMs: 0,
    step: 'end cancelled',
  },
  // Case 3
  {
    when: 'all attempts are used',
    failure: DOWN,
    more: { retry: { max_attempts: 1 } },
    step: 'end provider_unavailable',
  },
  {
    when: 'the caller allowed fewer attempts',
    failure: DOWN,
    facts: { maxAttempts: 1 },
    step: 'end provider_unavailable',
  },
  {
    when: 'the caller asked for more attempts than the policy',
    failure: DOWN,
    more: { retry: { max_attempts: 1 } },
    facts: { maxAttempts: 9 },
    step: 'end provider_unavailable',
  },
  {
    when: 'a lost worker was repeated, which does not count',
    failure: DOWN,
    more: { retry: { max_attempts: 2, backoff: FIXED } },
    history: repeated,
    step: 'redraw after 100',
  },
  // A validation failure is open to escalation alone
  {
    when: 'the input is at fault',
    failure: failed('CONTENT_BLOCKED'),
    fallbacks: [{ ...TO_BIRCH, when: {} }],
    step: 'end content_blocked',
  },
  // Case 4
  {
    when: 'an escalation holds for an input at fault',
    failure: failed('CONTENT_BLOCKED'),
    more: { escalate_on: [{ when: { status: 'content_blocked' }, to: 'cedar', reason: 'softer filter' }] },
    step: 'escalated to cedar after 0 by 0 (softer filter)',
  },
  {
    when: 'an escalation holds before a fallback',
    failure: DOWN,
    fallbacks: [TO_BIRCH],
    more: { escalate_on: [ESCALATE('birch', {}), ESCALATE('cedar', {})] },
    step: 'escalated to birch after 0 by 0',
  },
  {
    when: 'an escalation is an expression',
    failure: DOWN,
    more: { escalate_on: [ESCALATE('cedar', "'503' in context.status && context.attempt == 2")] },
    step: 'escalated to cedar after 0 by 0',
  },
  {
    when: 'an escalation does not hold',
    failure: DOWN,
    more: { escalate_on: [ESCALATE('cedar', { status: 'timeout' })] },
    step: 'redraw after 100',
  },
  {
    when: 'the first escalation cannot be used',
    failure: DOWN,
    more: { escalate_on: [ESCALATE('birch', {}), ESCALATE('cedar', {})] },
    live: { isOpen: (name) => name === 'birch' },
    step: 'escalated to cedar after 0 by 1',
  },
  {
    when: 'an escalation leads to the failed provider',
    failure: DOWN,
    more: { escalate_on: [ESCALATE('alder', {})] },
    step: 'redraw after 100',
  },
  {
    when: 'a request was escalated before',
    failure: DOWN,
    more: { escalate_on: [ESCALATE('cedar', {})] },
    history: (history, policy) => moved(history, target(policy, 'birch'), 'escalated'),
    step: 'redraw after 100',
  },
  {
    when: 'a request was escalated before a later failover',
    failure: DOWN,
    more: { escalate_on: [ESCALATE('cedar', {})], retry: { max_attempts: 9, backoff: FIXED } },
    history: (history, policy) =>
      moved(moved(history, target(policy, 'birch'), 'escalated'), target(policy, 'alder'), 'failover'),
    step: 'redraw after 100',
  },
  {
    when: 'all attempts are used, an escalation comes too late',
    failure: DOWN,
    more: { escalate_on: [ESCALATE('cedar', {})], retry: { max_attempts: 1 } },
    step: 'end provider_unavailable',
  },
  {
    when: 'a committed stream is not escalated',
    failure: { ...DOWN, committed: true },
    more: { escalate_on: [ESCALATE('cedar', {})] },
    step: 'end provider_unavailable',
  },
  // Case 5
  {
    when: 'a fallback asks for one more try',
    failure: DOWN,
    fallbacks: [TO_BIRCH],
    step: 'again alder after 100 by 0',
  },
  {
    when: 'the retry waits for Retry-After',
    failure: { ...DOWN, retryAfterMs: 700 },
    fallbacks: [TO_BIRCH],
    step: 'again alder after 700 by 0',
  },
  {
    when: 'Retry-After is shorter than the backoff',
    failure: { ...DOWN, retryAfterMs: 7 },
    fallbacks: [TO_BIRCH],
    step: 'again alder after 100 by 0',
  },
  {
    when: 'Retry-After is above a minute',
    failure: { ...DOWN, retryAfterMs: 900_000 },
    fallbacks: [TO_BIRCH],
    step: 'again alder after 60000 by 0',
  },
  {
    when: 'a failure that is not retryable has a fallback',
    failure: failed('EXECUTION_FAILED'),
    fallbacks: [{ ...TO_BIRCH, when: {} }],
    step: 'again alder after 100 by 0',
  },
  // Case 6
  {
    when: 'the tries are used',
    failure: DOWN,
    fallbacks: [TO_BIRCH],
    history: (history) => retried(history, 0),
    step: 'to birch after 100 by 0',
  },
  {
    when: 'the failed provider is open',
    failure: DOWN,
    fallbacks: [TO_BIRCH],
    live: { isOpen: (name) => name === 'alder' },
    step: 'to birch after 100 by 0',
  },
  {
    when: 'the failed provider still cools down when the wait is over',
    failure: DOWN,
    fallbacks: [TO_BIRCH],
    live: { isCooling: (name, afterMs) => name === 'alder' && afterMs < 101 },
    step: 'to birch after 100 by 0',
  },
  {
    when: 'the cooldown ends with the wait',
    failure: { ...DOWN, retryAfterMs: 200 },
    fallbacks: [TO_BIRCH],
    live: { isCooling: (name, afterMs) => name === 'alder' && afterMs < 200 },
    step: 'again alder after 200 by 0',
  },
  {
    when: 'the wait for the same provider is too long',
    failure: { ...DOWN, retryAfterMs: 50_000 },
    fallbacks: [TO_BIRCH],
    timeLeftMs: 10_000,
    step: 'to birch after 100 by 0',
  },
  {
    when: 'a fallback moves at once',
    failure: failed('CONNECTION_TIMEOUT'),
    fallbacks: [TO_BIRCH, TO_CEDAR],
    step: 'to cedar after 100 by 1',
  },
  {
    when: 'the fallback cannot be used',
    failure: DOWN,
    fallbacks: [{ ...TO_BIRCH, retry: 0 }, TO_CEDAR],
    live: { isOpen: (name) => name === 'birch' },
    step: 'to cedar after 100 by 1',
  },
  {
    when: 'the fallback is the failed provider',
    failure: DOWN,
    fallbacks: [{ ...TO_BIRCH, retry: 0, to: 'alder' }, TO_CEDAR],
    step: 'to cedar after 100 by 1',
  },
  {
    when: 'the fallback failed before',
    failure: DOWN,
    fallbacks: [{ ...TO_BIRCH, retry: 0 }, TO_CEDAR],
    history: (_, policy) => moved(begun(target(policy, 'birch')), target(policy, 'alder'), 'failover'),
    step: 'to cedar after 100 by 1',
  },
  {
    when: 'the request denies the fallback',
    failure: DOWN,
    fallbacks: [TO_CEDAR],
    facts: { providersDeny: ['cedar'] },
    step: 'redraw after 100',
  },
  {
    when: 'a provider that was moved to has its own tries',
    failure: DOWN,
    fallbacks: [TO_BIRCH],
    history: (history, policy) => moved(retried(history, 0), target(policy, 'birch'), 'fallback'),
    step: 'again birch after 100 by 0',
  },
  // Case 7
  {
    when: 'no fallback holds and the class is retried',
    failure: failed('CONNECTION_TIMEOUT'),
    fallbacks: [TO_BIRCH],
    step: 'redraw after 100',
  },
  {
    when: 'the provider is at its limit',
    failure: failed('PROVIDER_RATE_LIMITED', { retryAfterMs: 30_000 }),
    step: 'redraw after 100',
  },
  {
    when: 'our credential was refused',
    failure: failed('PROVIDER_AUTH_FAILED', { httpStatus: 401 }),
    step: 'redraw after 100',
  },
  {
    when: 'the class is not retried',
    failure: DOWN,
    more: { retry: { on: ['timeout'] } },
    step: 'end provider_unavailable',
  },
  { when: 'the failure is not retryable', failure: failed('QUOTA_EXCEEDED'), step: 'end quota_exceeded' },
  // Too long a wait
  { when: 'no wait fits', failure: DOWN, fallbacks: [TO_BIRCH], timeLeftMs: 199, step: 'end provider_unavailable' },
  {
    when: 'only the failover fits',
    failure: DOWN,
    fallbacks: [{ ...TO_BIRCH, backoff: { ...FIXED, base_ms: 9_000 } }],
    timeLeftMs: 1_000,
    step: 'redraw after 100',
  },
  // Case 8
  { when: 'nothing applies', failure: failed('EXECUTION_FAILED'), step: 'end execution_failed' },
  {
    when: 'a cut stream ends with its own cause',
    failure: failed('STREAM_INTERRUPTED', { detailCode: 'CONNECTION_TIMEOUT' }),
    step: 'end provider_timeout',
  },
];

for (const { when, step, failure, fallbacks = [], more, facts, history, timeLeftMs = 100_000, live = {} } of CASES) {
  test(`${when}: ${step}`, () => {
    const policy = policyOf(fallbacks, more);
    const before = history?.(begun(target(policy, 'alder')), policy) ?? begun(target(policy, 'alder'));
    assert.equal(tell(nextStep(policy, { ...FACTS, ...facts }, before, failure, timeLeftMs, live)), step);
  });
}

function tell(step: ReturnType<typeof nextStep>): string {
  switch (step.kind) {
    case 'end':
      return `end ${step.code}`;
    case 'again':
      return `again ${step.target.name} after ${step.waitMs} by ${step.item}`;
    case 'to': {
      const why = step.reason === 'escalated' && step.why !== undefined ? ` (${step.why})` : '';
      const how = step.reason === 'escalated' ? 'escalated to' : 'to';
      return `${how} ${step.target.name} after ${step.waitMs} by ${step.item}${why}`;
    }
    case 'redraw':
      return `redraw after ${step.waitMs}`;
  }
}

const WAITS: readonly (readonly [strategy: string, waits: readonly number[]])[] = [
  ['exponential', [100, 200, 400, 500, 500]],
  ['linear', [100, 200, 300, 400, 500]],
  ['fixed', [100, 100, 100, 100, 100]],
];

for (const [strategy, waits] of WAITS) {
  for (const jitter of [false, true]) {
    test(`the ${strategy} waits of five tries ${jitter ? 'with' : 'without'} jitter`, () => {
      const backoff = { strategy, base_ms: 100, max_ms: 500, jitter };
      const policy = policyOf([{ when: {}, retry: 5, backoff, to: 'birch' }], { retry: { max_attempts: 10 } });
      let history = begun(target(policy, 'alder'));
      for (const wait of waits) {
        const step = nextStep(policy, FACTS, history, DOWN, 100_000);
        assert.ok(step.kind === 'again');
        const chance = unit(`kestrel:rq-1:${history.attempt + 1}|backoff`);
        assert.equal(step.waitMs, wait * (jitter ? 0.5 + chance / 2 : 1));
        history = retried(history, step.item);
      }
      assert.equal(nextStep(policy, FACTS, history, DOWN, 100_000).kind, 'to');
    });
  }
}

test('a history counts attempts, keeps failed providers and leaves its past alone', () => {
  const policy = policyOf([]);
  const first = begun(target(policy, 'alder'));
  const second = moved(repeated(retried(first, 0)), target(policy, 'birch'), 'failover');
  assert.deepEqual([second.attempt, second.counted, second.failovers, second.tries.size], [4, 3, 1, 0]);
  assert.deepEqual([...second.failed], ['alder']);
  assert.deepEqual([...allFailed(second)], ['alder', 'birch']);
  assert.deepEqual([first.attempt, first.counted, first.failed.size, first.tries.size], [1, 1, 0, 0]);
});
