// The policies, requests and states that the benchmark of policies decides with.
import type { Facts, Snapshot } from '../src/policy/facts.ts';
import { parsePolicy } from '../src/policy/parse.ts';
import type { Policy } from '../src/policy/policy.ts';

export const providers = (count: number, salt = 0): readonly object[] =>
  Array.from({ length: count }, (_, i) => ({
    name: `p${i}`,
    weight: 1 + ((i + salt) % 7),
    labels: { region: i % 2 === 0 ? 'eu' : 'us', tier: i % 3 },
  }));

/** Of a policy with ten providers at least. `salt` makes texts that no earlier one had: equal expressions are compiled once. */
export const rules = (count: number, salt = 0): readonly object[] =>
  Array.from({ length: count }, (_, i) => ({
    id: `rule-${i}`,
    when: `request.input_tokens > ${1_000 * (i + 1) + salt} && task.type == 'ai.chat'`,
    // eslint-disable-next-line unicorn/no-thenable -- the word of the language
    then: { exclude: [`p${i % 10}`], tag: `long-${i}` },
    continue: true,
  }));

/** Five rules that all match, one experiment, breakers: what policy 13 calls full. */
export const fullDocument = (count: number): object => ({
  version: '2.0',
  providers: providers(count),
  circuit_breaker: { enabled: true },
  rules: [
    "request.input_tokens > 20000 && task.type == 'ai.chat'",
    "tenant.tier == 'gold' || tenant.labels.region == 'eu'",
    "'chat' in request.scopes && !request.stream",
    "request.model.startsWith('med') && context.session_id != ''",
    'task.params.temperature <= 0.7 && request.max_output_tokens < 4000',
  ].map((when, i) => ({
    id: `rule-${i}`,
    when,
    // eslint-disable-next-line unicorn/no-thenable -- the word of the language
    then: { tag: `tag-${i}`, ...(i === 0 && count > 1 ? { exclude: [`p${count - 1}`] } : {}) },
    continue: true,
  })),
  experiments: [
    {
      id: 'split',
      unit: 'session_id',
      arms: [
        { name: 'control', share: 50 },
        // eslint-disable-next-line unicorn/no-thenable -- as above
        { name: 'other', share: 50, then: { weights: { p0: 9 } } },
      ],
    },
  ],
});

export const weightsDocument = (count: number): object => ({
  version: '2.0',
  providers: providers(count),
  circuit_breaker: { enabled: true },
});

export function compiled(document: object, tenantId = 't'): Policy {
  const options = { tenantId, policyId: 'default', revision: 1, knownProviders: new Set<string>() };
  const parsed = parsePolicy(document, options);
  if (parsed.kind === 'valid') return parsed.policy;
  throw new Error(parsed.errors.map(({ path, message }) => `${path} ${message}`).join('\n'));
}

const open = new Set<string>();
const first: Snapshot = { attempt: 1, failed: new Set<string>(), failureWords: [] };

export const BREAKERS_ON: Snapshot = { ...first, isOpen: (name) => open.has(name) };

/** All that a router may know of a provider. */
export const ALL_KNOWN: Snapshot = {
  ...first,
  inFlight: () => 3,
  capacity: () => 10,
  latency: () => ({ ms: 812.3, samples: 12 }),
  errorRate: () => 0.01,
  costMicroUsd: () => 1_200,
};

/** Requests that differ; made before the time is taken, as a router has them before it decides. */
export const requests = (count: number, more: Partial<Facts> = {}): readonly Facts[] =>
  Array.from({ length: count }, (_, n) => ({
    tenantId: 't',
    requestId: `req-${n}`,
    taskType: 'ai.chat',
    model: 'medium',
    stream: false,
    context: { session_id: `s-${n % 1_000}` },
    ...more,
  }));

/** What the rules of a full policy ask for. */
export const MATCHING: Partial<Facts> = {
  inputTokens: 30_000,
  maxOutputTokens: 1_000,
  tenantTier: 'gold',
  tenantLabels: { region: 'eu' },
  scopes: ['chat'],
  taskParams: { temperature: 0.2 },
};
