import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from '../telemetry/metrics.ts';
import { ByTenant } from './by-tenant.ts';

function open(max: number) {
  const metrics = new Metrics();
  const values = new ByTenant<{ sinceMs: number | undefined }>({
    max,
    metrics,
    kind: 'test',
    make: () => ({ sinceMs: undefined }),
    restsSinceMs: ({ sinceMs }) => sinceMs,
  });
  return Object.assign(values, { told: () => metrics.render() });
}

test('a value is made once, and one tenant never sees that of another', () => {
  const values = open(10);
  const first = values.ensure('acme', 'alder', 0);
  assert.equal(values.ensure('acme', 'alder', 0), first);
  assert.equal(values.get('acme', 'alder'), first);
  assert.notEqual(values.ensure('umbra', 'alder', 0), first);
  assert.deepEqual([...values.of('acme').keys()], ['alder']);
  assert.deepEqual([values.of('nobody').size, values.get('nobody', 'alder'), values.size], [0, undefined, 2]);
});

test('what is full refuses while nothing in it rests, and counts it', () => {
  const values = open(2);
  const first = values.ensure('acme', 'alder', 0);
  values.ensure('umbra', 'alder', 0);
  assert.equal(values.ensure('acme', 'birch', 0), undefined);
  assert.match(values.told(), /router_live_refused_total\{kind="test"\} 1/);
  assert.ok(first);
  first.sinceMs = 0;
  assert.ok(values.ensure('acme', 'birch', 0));
  assert.match(values.told(), /router_live_evicted_total\{kind="test"\} 1/);
  assert.deepEqual(
    Array.from(values.entries(), ([tenant, name]) => [tenant, name]),
    [
      ['umbra', 'alder'],
      ['acme', 'birch'],
    ],
  );
});

test('the one that rests longest makes room', () => {
  const values = open(3);
  for (const [name, sinceMs] of Object.entries({ alder: 5, birch: 3, cedar: 7 })) {
    const value = values.ensure('acme', name, 9);
    if (value !== undefined) value.sinceMs = sinceMs;
  }
  for (const name of ['x', 'y', 'z']) assert.ok(values.ensure('umbra', name, 9));
  assert.deepEqual([...values.of('acme').keys(), ...values.of('umbra').keys()], ['x', 'y', 'z']);
  assert.equal(values.ensure('umbra', 'more', 9), undefined);
});

test('whoever rests is found in the end, however many do not', () => {
  const values = open(1_000);
  for (let n = 0; n < 1_000; n++) values.ensure(`t-${n}`, 'alder', 0);
  const one = values.get('t-900', 'alder');
  if (one !== undefined) one.sinceMs = 0;
  let asked = 0;
  while (values.ensure('acme', 'alder', 0) === undefined) asked++;
  assert.ok(asked < 1_000 / 32, `after ${asked}`);
  assert.equal(values.size, 1_000);
});
