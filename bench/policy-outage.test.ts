import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TARGETS, verdictOf } from './policy-figures.ts';
import { measureOutage } from './policy-outage.ts';

test('decisions while the store is down are measured against those while it answers, and held to five per cent', async () => {
  const figures = await measureOutage({ count: 1, ms: 30 });
  const targets = TARGETS.filter(({ id }) => id.startsWith('decide-'));
  assert.deepEqual(Object.keys(figures).toSorted(), targets.map(({ id }) => id).toSorted());
  for (const target of targets) assert.notEqual(verdictOf(target, figures), 'missing', target.id);
  const ratio = targets.find(({ id }) => id === 'decide-down-ratio');
  assert.ok(ratio);
  assert.equal(verdictOf(ratio, { 'decide-down-ratio': 1.05 }), 'pass');
  assert.equal(verdictOf(ratio, { 'decide-down-ratio': 1.06 }), 'missed');
});
