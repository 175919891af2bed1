// A session over many requests, with the binding kept as a router keeps it (policy 5.7).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decide } from './decide.ts';
import type { Facts, Snapshot } from './facts.ts';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';
import { stickyKey } from './sticky.ts';

const NAMES = ['alder', 'birch', 'cedar', 'rowan'] as const;
type Name = (typeof NAMES)[number];

/** What one request of the session meets: a policy that its author changes, and providers in any state. */
const moment = fc.record({
  requestId: fc.string({ minLength: 1 }),
  strategy: fc.constantFrom('weighted', 'priority', 'latency', 'cost', 'least_busy'),
  weights: fc.tuple(...NAMES.map(() => fc.integer({ min: 1, max: 100 }))),
  latencies: fc.tuple(...NAMES.map(() => fc.integer({ min: 1, max: 5_000 }))),
  /** Each removes providers by a filter of its own. */
  disabled: fc.subarray([...NAMES], { maxLength: 2 }),
  denied: fc.subarray([...NAMES], { maxLength: 2 }),
  open: fc.subarray([...NAMES], { maxLength: 2 }),
  cooling: fc.subarray([...NAMES], { maxLength: 1 }),
  full: fc.subarray([...NAMES], { maxLength: 1 }),
});
type Moment = typeof moment extends fc.Arbitrary<infer T> ? T : never;

function policyAt({ strategy, weights, disabled }: Moment): Policy {
  const providers = NAMES.map((name, n) => ({
    name,
    weight: weights[n],
    priority: n,
    enabled: !disabled.includes(name),
  }));
  const parsed = parsePolicy(
    { version: '2.0', providers, strategy, sticky: { enabled: true, session_key: 'thread' } },
    { knownProviders: new Set(), tenantId: 'kestrel', policyId: 'default', revision: 1 },
  );
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

const snapshotAt = ({ open, cooling, full, latencies }: Moment, sticky: string | undefined): Snapshot => ({
  attempt: 1,
  failed: new Set(),
  failureWords: [],
  sticky,
  isOpen: (name) => open.includes(name as Name),
  isCooling: (name) => cooling.includes(name as Name),
  hasCapacity: ({ name }) => !full.includes(name as Name),
  latency: (name) => ({ ms: latencies[NAMES.indexOf(name as Name)] ?? 0, samples: 10 }),
  costMicroUsd: ({ name }) => latencies[NAMES.indexOf(name as Name)],
  inFlight: (name) => latencies[NAMES.indexOf(name as Name)] ?? 0,
});

test('a session stays with its provider until that is unavailable, then with the one that followed', () => {
  let stayed = 0;
  let moved = 0;
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.array(moment, { minLength: 2, maxLength: 12 }), (thread, moments) => {
      let bound: string | undefined;
      for (const now of moments) {
        const policy = policyAt(now);
        const facts: Facts = {
          tenantId: 'kestrel',
          requestId: now.requestId,
          taskType: 'ai.chat',
          model: 'small',
          stream: false,
          context: { thread },
          providersDeny: now.denied,
        };
        const away = new Set<string>([...now.disabled, ...now.denied, ...now.open, ...now.cooling, ...now.full]);
        const verdict = decide(policy, facts, snapshotAt(now, bound), false);
        if (away.size === NAMES.length) {
          // Nobody can serve; the binding is left as it is.
          assert.equal(verdict.kind, 'none');
          continue;
        }
        assert.ok(verdict.kind === 'chosen');
        assert.equal(verdict.stickyKey, stickyKey(policy, facts));
        const isBound = bound !== undefined && !away.has(bound);
        assert.equal(verdict.isSticky, isBound);
        assert.equal(verdict.reason, isBound ? 'sticky' : now.strategy);
        if (isBound) assert.equal(verdict.target.name, bound);
        else assert.ok(!away.has(verdict.target.name), 'the next one is available');
        if (isBound) stayed++;
        else if (bound !== undefined) moved++;
        bound = verdict.target.name;
      }
    }),
    { seed: 20_261_121, numRuns: 300 },
  );
  assert.ok(stayed > 100 && moved > 100, `${stayed} stayed, ${moved} moved`);
});
