import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decide } from './decide.ts';
import type { Facts, Live, Snapshot } from './facts.ts';
import { parsePolicy } from './parse.ts';
import type { Policy, Strategy } from './policy.ts';

const FACTS: Facts = {
  tenantId: 'kestrel',
  requestId: 'rq-1',
  taskType: 'ai.chat',
  model: 'small',
  stream: true,
  context: {},
};
const FIRST: Snapshot = { attempt: 1, failed: new Set(), failureWords: [] };
const NAMES = ['alder', 'birch', 'cedar', 'elm'];

type ByName = Readonly<Record<string, number>>;

function policyOf(strategy: Strategy, weights: ByName, more: { priorities?: ByName; options?: object } = {}): Policy {
  const providers = Object.entries(weights).map(([name, weight]) => ({
    name,
    weight,
    priority: more.priorities?.[name] ?? 0,
  }));
  const parsed = parsePolicy(
    { version: '2.0', strategy, strategy_options: more.options ?? {}, providers },
    { knownProviders: new Set(), tenantId: 'kestrel', policyId: 'default', revision: 1 },
  );
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

/** Who is ever chosen, over many requests. */
function everChosen(policy: Policy, live: Live, facts: Facts = FACTS): readonly string[] {
  const names = new Set<string>();
  for (let id = 0; id < 200; id++) {
    const verdict = decide(policy, { ...facts, requestId: `rq-${id}` }, { ...FIRST, ...live }, false);
    names.add(verdict.kind === 'chosen' ? verdict.target.name : verdict.code);
  }
  return [...names].toSorted();
}

const EQUAL = { alder: 1, birch: 1, cedar: 1 };
const UNWEIGHTED = { alder: 0, birch: 0, cedar: 0 };
const open = (...names: readonly string[]): Live => ({ isOpen: (name) => names.includes(name) });
const latencies = (ms: ByName, samples = 5): Live => ({
  latency(name) {
    const mean = ms[name];
    return mean === undefined ? undefined : { ms: mean, samples };
  },
});
const costs = (micro: ByName): Live => ({ costMicroUsd: ({ name }) => micro[name] });
const busy = (running: ByName, capacity: ByName = {}): Live => ({
  inFlight: (name) => running[name] ?? 0,
  capacity: ({ name }) => capacity[name],
});
const PRIORITIES = { priorities: { alder: 5, birch: 9, cedar: 9 } };

const CASES: readonly (readonly [says: string, policy: Policy, live: Live, chosen: readonly string[]])[] = [
  ['the highest priority', policyOf('priority', EQUAL, PRIORITIES), {}, ['birch', 'cedar']],
  [
    'the next priority if the highest is gone',
    policyOf('priority', EQUAL, PRIORITIES),
    open('birch', 'cedar'),
    ['alder'],
  ],
  [
    'no priority for a provider that is never drawn',
    policyOf('priority', { alder: 1, birch: 0, cedar: 0 }, PRIORITIES),
    {},
    ['alder'],
  ],
  [
    'priorities alone if no provider has a weight',
    policyOf('priority', UNWEIGHTED, PRIORITIES),
    {},
    ['birch', 'cedar'],
  ],
  [
    'no choice if only providers of weight 0 are left',
    policyOf('priority', { alder: 1, birch: 0 }, PRIORITIES),
    open('alder'),
    ['circuit_breaker_open'],
  ],
  ['the least latency', policyOf('latency', EQUAL), latencies({ alder: 100, birch: 300, cedar: 200 }), ['alder']],
  [
    'ties within a tenth',
    policyOf('latency', EQUAL),
    latencies({ alder: 100, birch: 110, cedar: 111 }),
    ['alder', 'birch'],
  ],
  [
    'ties within the tolerance of the policy',
    policyOf('latency', EQUAL, { options: { tolerance: 1 } }),
    latencies({ alder: 100, birch: 110, cedar: 200 }),
    ['alder', 'birch', 'cedar'],
  ],
  [
    'an unmeasured provider as the best',
    policyOf('latency', EQUAL),
    latencies({ alder: 9, birch: 2 }),
    ['birch', 'cedar'],
  ],
  [
    'every provider with too few samples as the best',
    policyOf('latency', EQUAL),
    latencies({ alder: 1, birch: 100 }, 4),
    ['alder', 'birch', 'cedar'],
  ],
  [
    'a sample as enough if the policy says so',
    policyOf('latency', EQUAL, { options: { min_samples: 1 } }),
    latencies({ alder: 1, birch: 100, cedar: 100 }, 1),
    ['alder'],
  ],
  [
    'the least latency among those left',
    policyOf('latency', EQUAL),
    { ...latencies({ alder: 1, birch: 9, cedar: 5 }), ...open('alder') },
    ['cedar'],
  ],
  ['the least cost, unpriced last', policyOf('cost', EQUAL), costs({ alder: 70, birch: 30 }), ['birch']],
  ['unpriced providers alike', policyOf('cost', EQUAL), costs({}), ['alder', 'birch', 'cedar']],
  ['what is free before what is cheap', policyOf('cost', EQUAL), costs({ alder: 0, birch: 1 }), ['alder']],
  [
    'the least busy by their capacity',
    policyOf('least_busy', EQUAL),
    busy({ alder: 3, birch: 9, cedar: 4 }, { alder: 4, birch: 100, cedar: 5 }),
    ['birch'],
  ],
  [
    'a capacity of 1 if nobody knows it',
    policyOf('least_busy', EQUAL),
    busy({ alder: 1, birch: 2 }, { birch: 4, cedar: 1 }),
    ['cedar'],
  ],
  [
    'ties with no weight alike',
    policyOf('cost', UNWEIGHTED),
    costs({ alder: 1, birch: 1, cedar: 9 }),
    ['alder', 'birch'],
  ],
  [
    'ties by weight',
    policyOf('cost', { alder: 1, birch: 0, cedar: 1 }),
    costs({ alder: 1, birch: 1, cedar: 9 }),
    ['alder'],
  ],
];

for (const [says, policy, live, chosen] of CASES) {
  test(`${policy.strategy} takes ${says}`, () => {
    assert.deepEqual(everChosen(policy, live), chosen);
  });
}

test('streams and whole answers are measured apart', () => {
  const live: Live = {
    latency: (name, stream) => ({ ms: (name === 'alder') === stream ? 10 : 90, samples: 9 }),
  };
  const policy = policyOf('latency', { alder: 1, birch: 1 });
  assert.deepEqual(everChosen(policy, live), ['alder']);
  assert.deepEqual(everChosen(policy, live, { ...FACTS, stream: false }), ['birch']);
});

test('a cost is asked for the model that is sent and for the tokens of the estimate', () => {
  const asked: unknown[] = [];
  const live: Live = {
    costMicroUsd(target, model, input, output) {
      asked.push([target.name, model, input, output]);
      return 1;
    },
  };
  const parsed = parsePolicy(
    {
      version: '2.0',
      strategy: 'cost',
      providers: [
        { name: 'alder', weight: 1 },
        { name: 'birch', model: 'own' },
      ],
    },
    { knownProviders: new Set(), tenantId: 'kestrel', policyId: 'default', revision: 1 },
  );
  assert.ok(parsed.kind === 'valid');
  decide(parsed.policy, { ...FACTS, inputTokens: 30, maxOutputTokens: 5 }, { ...FIRST, ...live }, false);
  decide(parsed.policy, FACTS, { ...FIRST, ...live }, false);
  const distinct = new Set(asked.map((one) => JSON.stringify(one)));
  assert.deepEqual([...distinct].toSorted(), [
    '["alder","small",1000,1000]',
    '["alder","small",30,5]',
    '["birch","own",1000,1000]',
    '["birch","own",30,5]',
  ]);
});

test('the explanation names who tied', () => {
  const verdict = decide(
    policyOf('cost', EQUAL),
    FACTS,
    { ...FIRST, ...costs({ alder: 10, birch: 11, cedar: 12 }) },
    true,
  );
  const step = verdict.explanation?.steps.at(-1);
  assert.deepEqual(step?.data['tied'], ['alder', 'birch']);
  assert.match(step?.detail ?? '', /^cost draw 0\.\d{6} among alder, birch$/);
  assert.deepEqual([verdict.explanation?.reason, verdict.explanation?.priority], ['cost', 50]);
});

test('under every strategy no open provider is chosen while a closed candidate exists', () => {
  const strategy = fc.constantFrom<Strategy>('weighted', 'priority', 'latency', 'cost', 'least_busy');
  const numbers = fc.tuple(...NAMES.map(() => fc.integer({ min: 1, max: 20 })));
  const named = (values: readonly number[]): ByName =>
    Object.fromEntries(NAMES.map((name, index) => [name, values[index] ?? 1]));
  fc.assert(
    fc.property(
      strategy,
      numbers,
      numbers,
      fc.subarray(NAMES),
      fc.string(),
      (kind, weights, scores, down, requestId) => {
        const policy = policyOf(kind, named(weights), { priorities: named(scores) });
        const snapshot = { ...FIRST, ...latencies(named(scores)), ...costs(named(scores)), ...open(...down) };
        const verdict = decide(policy, { ...FACTS, requestId }, snapshot, true);
        if (down.length === NAMES.length) return verdict.kind === 'none' && verdict.code === 'circuit_breaker_open';
        return verdict.kind === 'chosen' && !down.includes(verdict.target.name) && verdict.reason === kind;
      },
    ),
  );
});

/** Upper 0.1 % points of chi-square by degrees of freedom. */
const CHI_SQUARE = [0, 10.83, 13.82, 16.27];

for (const weights of [
  { alder: 1, birch: 1 },
  { alder: 70, birch: 30 },
  { alder: 5, birch: 1, cedar: 4 },
  { alder: 1, birch: 2, cedar: 3, elm: 94 },
]) {
  test(`a draw among ${JSON.stringify(weights)} keeps to the shares`, () => {
    const draws = 20_000;
    const policy = policyOf('weighted', weights);
    const counts = new Map<string, number>();
    for (let id = 0; id < draws; id++) {
      const verdict = decide(policy, { ...FACTS, seed: `seed-${id}` }, FIRST, false);
      assert.ok(verdict.kind === 'chosen');
      counts.set(verdict.target.name, (counts.get(verdict.target.name) ?? 0) + 1);
    }
    const entries = Object.entries(weights);
    const sum = entries.reduce((all, [, weight]) => all + weight, 0);
    const chi = entries.reduce((all, [name, weight]) => {
      const expected = (draws * weight) / sum;
      return all + ((counts.get(name) ?? 0) - expected) ** 2 / expected;
    }, 0);
    assert.ok(chi < (CHI_SQUARE[entries.length - 1] ?? 0), `${chi}`);
  });
}
