/* eslint-disable unicorn/no-thenable -- the word of the language */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decide } from './decide.ts';
import { type DecisionRecord, recordOf, snapshotOf, verdictOf } from './decision-record.ts';
import type { Facts, Live, Snapshot } from './facts.ts';
import { parsePolicy } from './parse.ts';
import type { Policy, Target } from './policy.ts';

const NAMES = ['alder', 'birch', 'cedar', 'rowan'];

function policyOf(document: object): Policy | undefined {
  const parsed = parsePolicy(
    { version: '2.0', ...document },
    { knownProviders: new Set(['rowan', 'sorrel', 'willow']), tenantId: 'kestrel', policyId: 'default', revision: 14 },
  );
  return parsed.kind === 'valid' ? parsed.policy : undefined;
}

const POLICY = policyOf({
  providers: [
    { name: 'alder', weight: 70, pool: 'lab' },
    { name: 'birch', weight: 30, model: 'medium-2b' },
  ],
  fallbacks: [{ when: {}, to: 'rowan' }],
  escalate_on: [{ when: {}, to: 'sorrel' }],
  canary: { to: 'willow', share: 5 },
});

/** A record that was written to a file and read again. */
function written(policy: Policy, facts: Facts, snapshot: Snapshot): DecisionRecord {
  const record = recordOf(policy, facts, snapshot, decide(policy, facts, snapshot, false), 1_000);
  return JSON.parse(JSON.stringify(record)) as DecisionRecord;
}

// A fact, or a question to the live state, that is new must be added to these lists: they hold every key by their type.
const EVERY_FACT: Required<Facts> = {
  tenantId: 'kestrel',
  requestId: 'rq-50b7',
  taskType: 'ai.chat',
  model: 'small',
  stream: true,
  context: { session_id: 's-9', nested: { list: [1, null, 'ü'] } },
  providersAllow: ['alder', 'birch'],
  providersDeny: ['cedar'],
  inputTokens: 12,
  maxOutputTokens: 34,
  maxCostMicroUsd: 56,
  maxLatencyMs: 78,
  durable: true,
  dialect: 'openai',
  priority: 5,
  deadlineMs: 9_000,
  sizeBytes: 90,
  hasTools: true,
  hasImages: true,
  idempotent: true,
  keyId: 'key_1',
  userId: 'user-1',
  scopes: ['chat'],
  tenantTier: 'gold',
  tenantLabels: { region: 'eu' },
  taskSizeBytes: 91,
  taskParams: { temperature: 0.5 },
  timeMs: 1_700_000_000_000,
  maxAttempts: 2,
  backoffMs: 50,
  seed: 'seed',
};

const EVERY_STATE: Required<Snapshot> = {
  attempt: 3,
  failed: new Set(['cedar']),
  failureWords: ['timeout', '5xx'],
  errorClass: 'timeout',
  currentProvider: 'cedar',
  canaryAborted: true,
  sticky: 'birch',
  isOpen: (name) => name === 'birch',
  isHalfOpen: (name) => name === 'cedar',
  isCooling: (name) => name === 'rowan',
  hasCapacity: ({ name }) => name !== 'rowan',
  poolFactor: (pool) => (pool === 'lab' ? 0.3 : 0.7),
  inFlight: (name) => name.length,
  capacity: ({ name }) => name.length * 10,
  latency: (name, stream) => ({ ms: name.length + (stream ? 0.5 : 0), samples: 9 }),
  errorRate: (name) => 1 / name.length,
  costMicroUsd: ({ name }, model, input, output) => name.length + model.length + input + output,
  overBudget: new Set(['willow']),
  routers: { count: 3, rank: 2 },
  budget: () => ({ id: 'month', limitMicroUsd: 9, spentMicroUsd: 2, reservedMicroUsd: 1 }),
};

const ASKED: Readonly<Record<keyof Live, (live: Required<Live>, target: Target) => unknown>> = {
  isOpen: (live, { name }) => live.isOpen(name),
  isHalfOpen: (live, { name }) => live.isHalfOpen(name),
  isCooling: (live, { name }) => live.isCooling(name, 0),
  hasCapacity: (live, target) => live.hasCapacity(target),
  poolFactor: (live, { pool }) => live.poolFactor(pool),
  inFlight: (live, { name }) => live.inFlight(name),
  capacity: (live, target) => live.capacity(target),
  latency: (live, { name }) => live.latency(name, true),
  errorRate: (live, { name }) => live.errorRate(name),
  costMicroUsd: (live, target) => live.costMicroUsd(target, target.model ?? 'small', 12, 34),
  overBudget: (live, { name }) => live.overBudget?.has(name),
  routers: (live) => live.routers,
  budget: (live) => live.budget(),
};

test('a record holds every fact', () => {
  assert.ok(POLICY !== undefined);
  assert.deepEqual(written(POLICY, EVERY_FACT, EVERY_STATE).facts, EVERY_FACT);
});

test('a record answers every question of the live state for every target, those included that the policy only names', () => {
  assert.ok(POLICY !== undefined);
  const again = snapshotOf(written(POLICY, EVERY_FACT, EVERY_STATE));
  assert.deepEqual(Object.keys(again).toSorted(), Object.keys(EVERY_STATE).toSorted());
  const { fallbacks, escalations, canary } = POLICY;
  assert.ok(canary !== undefined);
  const targets = [...POLICY.targets, ...[...fallbacks, ...escalations, canary].map(({ to }) => to)];
  assert.deepEqual(
    targets.map(({ name }) => name),
    ['alder', 'birch', 'rowan', 'sorrel', 'willow'],
  );
  for (const [key, value] of Object.entries(again)) {
    const ask = Object.hasOwn(ASKED, key) ? ASKED[key as keyof Live] : undefined;
    if (ask === undefined) assert.deepEqual(value, EVERY_STATE[key as keyof Snapshot], key);
    else
      for (const target of targets)
        assert.deepEqual(ask(again as Required<Live>, target), ask(EVERY_STATE, target), `${key} of ${target.name}`);
  }
});

test('a record keeps what was known, whatever changes afterwards', () => {
  assert.ok(POLICY !== undefined);
  const average = { ms: 5, samples: 9 };
  const failed = new Set(['alder']);
  const record = recordOf(
    POLICY,
    EVERY_FACT,
    { attempt: 2, failed, failureWords: [], latency: () => average },
    { kind: 'none', code: 'no_provider_available', message: '', explanation: undefined },
    7,
  );
  average.ms = 900;
  failed.add('birch');
  assert.deepEqual(snapshotOf(record).latency?.('alder', true), { ms: 5, samples: 9 });
  assert.deepEqual(snapshotOf(record).failed, new Set(['alder']));
  assert.deepEqual([record.time_ms, record.attempt, record.verdict.kind], [7, 2, 'none']);
});

test('of providers, pools and models that were not asked about it knows nothing', () => {
  assert.ok(POLICY !== undefined);
  const again = snapshotOf(written(POLICY, EVERY_FACT, EVERY_STATE));
  const [alder] = POLICY.targets;
  assert.ok(alder !== undefined);
  assert.deepEqual(
    [again.isOpen?.('maple'), again.poolFactor?.('attic'), again.latency?.('maple', true)],
    [false, 1, undefined],
  );
  assert.equal(again.costMicroUsd?.(alder, 'another', 12, 34), undefined);
});

const share = fc.double({ min: 0, max: 1, noNaN: true });
const words = ['timeout', '5xx', 'all_providers_failed', 'circuit_breaker_open'];

const RULES = [
  { id: 'long', when: 'request.input_tokens > 5', then: { exclude: ['alder'], tag: 'long' }, continue: true },
  { id: 'idle', then: { where: 'provider.in_flight < 5 && !provider.cooling' }, continue: true },
  { id: 'fast', then: { where: 'provider.latency_ms < 500.0 || provider.error_rate < 0.5' }, continue: true },
  { id: 'fit', then: { where: "provider.breaker == 'closed' || provider.cost_micro_usd > 20" }, continue: true },
  { id: 'room', then: { where: 'provider.capacity > 9', timeout_ms: 900 }, continue: true },
  { id: 'noon', when: 'time.hour >= 12', then: { strategy: 'cost' }, continue: true },
  { id: 'spent', when: 'budget.used_ratio > 0.5', then: { reject: { code: 'forbidden', message: 'spent' } } },
  { id: 'again', when: "context.error_class == 'timeout'", then: { weights: { birch: 9 } } },
];

/** A key of the document, or its absence. */
const maybe = (key: string, value: unknown) => ({ [key]: fc.constantFrom(undefined, value) });

const documents = fc.record({
  providers: fc.uniqueArray(fc.constantFrom('alder', 'birch', 'cedar'), { minLength: 1 }).chain((names) =>
    fc.tuple(
      ...names.map((name) =>
        fc.record(
          {
            name: fc.constant(name),
            weight: fc.nat(100),
            priority: fc.nat(2),
            model: fc.constantFrom('medium-2b', 'large'),
            models: fc.constantFrom(['sm*'], ['large']),
            pool: fc.constantFrom('lab', 'attic'),
            enabled: fc.boolean(),
          },
          { requiredKeys: ['name', 'weight'] },
        ),
      ),
    ),
  ),
  strategy: fc.constantFrom('weighted', 'priority', 'latency', 'cost', 'least_busy'),
  sticky: fc.record({ enabled: fc.boolean() }),
  rules: fc.subarray(RULES),
  ...maybe('experiments', [
    {
      id: 'prompt-7',
      arms: [
        { name: 'control', share: 50 },
        { name: 'b', share: 50, then: { weights: { birch: 80 }, tag: 'b' } },
      ],
    },
  ]),
  ...maybe('canary', { to: 'rowan', share: 50, abort_on: { error_rate: 0.5 } }),
  fallbacks: fc.array(fc.record({ when: fc.record({ status: fc.constantFrom(...words) }), to: fc.constant('rowan') }), {
    maxLength: 2,
  }),
});

const facts = fc.record({
  tenantId: fc.constant('kestrel'),
  requestId: fc.string(),
  taskType: fc.constant('ai.chat'),
  model: fc.constantFrom('small', 'large', undefined),
  stream: fc.boolean(),
  context: fc.record({ session_id: fc.string() }, { requiredKeys: [] }),
  providersDeny: fc.constantFrom(undefined, ['alder']),
  inputTokens: fc.constantFrom(undefined, 10),
  timeMs: fc.constantFrom(undefined, 1_700_000_000_000),
});

const states = fc.record({
  attempt: fc.integer({ min: 1, max: 4 }),
  failed: fc.subarray(NAMES).map((names) => new Set(names)),
  failureWords: fc.subarray(words),
  errorClass: fc.constantFrom(undefined, 'timeout'),
  sticky: fc.constantFrom(undefined, ...NAMES),
  canaryAborted: fc.constantFrom(undefined, true),
  open: fc.subarray(NAMES),
  cooling: fc.subarray(NAMES),
  full: fc.subarray(NAMES),
  numbers: fc.record(Object.fromEntries([...NAMES, 'lab', 'attic', 'default'].map((name) => [name, share]))),
  isKnown: fc.boolean(),
});

function stateOf({ open, cooling, full, numbers, isKnown, ...rest }: StateParts): Snapshot {
  const number = (name: string): number => numbers[name] ?? 0;
  const base: Snapshot = { ...rest, isOpen: (name) => open.includes(name) };
  if (!isKnown) return base;
  return {
    ...base,
    isCooling: (name) => cooling.includes(name),
    hasCapacity: ({ name }) => !full.includes(name),
    poolFactor: number,
    inFlight: (name) => Math.round(number(name) * 10),
    capacity: ({ name }) => Math.round(number(name) * 20),
    latency: (name) => ({ ms: number(name) * 1_000, samples: Math.round(number(name) * 10) }),
    errorRate: number,
    routers: { count: 3, rank: full.length % 3 },
    budget: () => ({ id: 'month', limitMicroUsd: 100, spentMicroUsd: number('alder') * 100, reservedMicroUsd: 1 }),
    costMicroUsd: ({ name }, model, input, output) => Math.round(number(name) * (input + output) * model.length),
  };
}

interface StateParts {
  readonly attempt: number;
  readonly failed: ReadonlySet<string>;
  readonly failureWords: readonly string[];
  readonly errorClass: string | undefined;
  readonly sticky: string | undefined;
  readonly canaryAborted: boolean | undefined;
  readonly open: readonly string[];
  readonly cooling: readonly string[];
  readonly full: readonly string[];
  readonly numbers: Readonly<Record<string, number>>;
  readonly isKnown: boolean;
}

test('a decision made from its record is the same, with the same explanation', () => {
  let tried = 0;
  fc.assert(
    fc.property(documents, facts, states, (document, request, parts) => {
      const policy = policyOf(document);
      if (policy === undefined) return;
      tried++;
      const snapshot = stateOf(parts);
      const record = written(policy, request, snapshot);
      const first = decide(policy, request, snapshot, true);
      const again = decide(policy, record.facts, snapshotOf(record), true);
      assert.equal(JSON.stringify(again), JSON.stringify(first));
      assert.deepEqual(JSON.parse(JSON.stringify(verdictOf(again))), record.verdict);
    }),
    { numRuns: 1_000, seed: 14 },
  );
  assert.ok(tried > 500, `${tried} policies were valid`);
});
