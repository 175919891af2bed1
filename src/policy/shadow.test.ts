import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePolicy } from './parse.ts';

const parse = (more: object) =>
  parsePolicy(
    { version: '2.0', weights: { alder: 1 }, ...more },
    { tenantId: 'acme', policyId: 'default', revision: 1, knownProviders: new Set(['alder', 'birch']) },
  );

const shadowOf = (more: object) => {
  const parsed = parse(more);
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy.shadow;
};

test('a shadow has room for four copies unless it says otherwise, and may name any provider of the catalogue', () => {
  const shadow = shadowOf({ shadow: { to: 'birch', share: 2.5 } });
  assert.deepEqual([shadow?.to.name, shadow?.share, shadow?.maxInFlight], ['birch', 2.5, 4]);
  assert.equal(shadowOf({ shadow: { to: 'alder', share: 1, max_in_flight: 9 } })?.maxInFlight, 9);
});

test('a policy without one, or with a share of nothing, has nothing to look at', () => {
  assert.equal(shadowOf({}), undefined);
  assert.equal(shadowOf({ shadow: { to: 'birch', share: 0 } }), undefined);
});

test('it is a key of version 2', () => {
  const parsed = parse({ version: '1.0', shadow: { to: 'birch', share: 1 } });
  assert.deepEqual(parsed.kind === 'invalid' && parsed.errors.map(({ path, code }) => [path, code]), [
    ['/shadow', 'requires_version_2'],
  ]);
});
