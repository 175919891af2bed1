// Decisions that any process makes alike: every example policy, with requests and states that a seed generates.
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { parse as parseYaml } from 'yaml';
import { decide } from '../src/policy/decide.ts';
import type { Facts } from '../src/policy/facts.ts';
import { parsePolicy } from '../src/policy/parse.ts';
import type { Policy } from '../src/policy/policy.ts';
import { type RecordedSnapshot, snapshotFrom, targetsOf } from '../src/policy/recorded-snapshot.ts';

const SEED = 20_261_121;
const EACH = 40;
const EXAMPLES = new URL('../examples/policies/', import.meta.url).pathname;

interface Scenario {
  readonly policy: Policy;
  readonly facts: Facts;
  readonly snapshot: RecordedSnapshot;
  readonly attempt: number;
}

function examples(): readonly Policy[] {
  return globSync('**/*.yaml', { cwd: EXAMPLES, exclude: (name) => String(name).endsWith('.fixtures.yaml') })
    .toSorted()
    .map((file, index) => {
      const parsed = parsePolicy(parseYaml(readFileSync(`${EXAMPLES}${file}`, 'utf8')), {
        tenantId: 'kestrel',
        policyId: `example-${index}`,
        revision: index + 1,
        knownProviders: new Set(['openai', 'mistral', 'anthropic', 'gpu-1', 'gpu-2', 'gpu-office']),
      });
      if (parsed.kind === 'valid') return parsed.policy;
      throw new Error(`${file}: ${JSON.stringify(parsed.errors)}`);
    });
}

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 2 });
const rarely = <T>(value: T): fc.Arbitrary<T | undefined> => fc.option(fc.constant(value), { nil: undefined, freq: 1 });

const facts: fc.Arbitrary<Facts> = fc.record({
  tenantId: fc.constantFrom('kestrel', 'merlin'),
  requestId: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
  taskType: fc.constantFrom('ai.chat', 'ai.embed'),
  model: maybe(fc.constantFrom('small', 'medium-2b', 'large-context')),
  stream: fc.boolean(),
  context: fc.dictionary(
    fc.constantFrom('session_id', 'user', 'tier', 'thread', 'lang'),
    fc.jsonValue({ maxDepth: 2 }),
  ),
  inputTokens: maybe(fc.nat(60_000)),
  maxOutputTokens: maybe(fc.nat(8_000)),
  maxCostMicroUsd: maybe(fc.nat(5_000)),
  maxLatencyMs: maybe(fc.nat(5_000)),
  tenantTier: maybe(fc.constantFrom('gold', 'free')),
  tenantLabels: maybe(fc.dictionary(fc.constantFrom('region', 'team'), fc.constantFrom('eu', 'us'))),
  hasTools: maybe(fc.boolean()),
  timeMs: fc.integer({ min: 0, max: 2_000_000_000_000 }),
});

/** Each provider of the policy in some state, and a session that is bound to one of them or to none. */
function snapshotOf(policy: Policy): fc.Arbitrary<RecordedSnapshot> {
  const names = targetsOf(policy).map(({ name }) => name);
  const state = {
    open: rarely(true as const),
    cooling: rarely(true as const),
    has_capacity: rarely(false as const),
    in_flight: maybe(fc.nat(20)),
    capacity: maybe(fc.integer({ min: 1, max: 20 })),
    latency_ms: maybe(fc.double({ min: 1, max: 9_000, noNaN: true })),
    latency_samples: maybe(fc.nat(20)),
    error_rate: maybe(fc.double({ min: 0, max: 1, noNaN: true })),
    cost_micro_usd: maybe(fc.nat(9_000)),
  };
  return fc.record({
    sticky: maybe(fc.constantFrom(...names)),
    pools: fc.constantFrom(undefined, [{ pool: 'default', factor: 0.7 }]),
    providers: fc.tuple(...names.map((name) => fc.record({ name: fc.constant(name), ...state }))),
  });
}

const scenarios = (): readonly Scenario[] =>
  examples().flatMap((policy) =>
    fc.sample(
      fc.record({
        policy: fc.constant(policy),
        facts,
        snapshot: snapshotOf(policy),
        attempt: fc.integer({ min: 1, max: 3 }),
      }),
      { seed: SEED, numRuns: EACH },
    ),
  );

/** Of each decision, in the order of the scenarios; they are made in that order, or from the last to the first. */
export function decisionDigests(order: 'forwards' | 'backwards'): readonly string[] {
  const all = scenarios();
  const digests: string[] = [];
  const indexes = [...all.keys()];
  for (const index of order === 'forwards' ? indexes : indexes.toReversed()) {
    const scenario = all[index];
    if (scenario === undefined) continue;
    const snapshot = snapshotFrom(scenario.snapshot, scenario.attempt, scenario.facts.model);
    const verdict = JSON.stringify(decide(scenario.policy, scenario.facts, snapshot, true));
    digests[index] = createHash('sha256').update(verdict).digest('base64url');
  }
  return digests;
}
