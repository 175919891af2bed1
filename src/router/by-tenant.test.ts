import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByTenant } from './by-tenant.ts';

const open = (max: number) =>
  new ByTenant<{ isIdle: boolean }>({ max, make: () => ({ isIdle: false }), isIdle: ({ isIdle }) => isIdle });

test('a value is made once, and one tenant never sees that of another', () => {
  const values = open(10);
  const first = values.ensure('acme', 'alder', 0);
  assert.equal(values.ensure('acme', 'alder', 0), first);
  assert.equal(values.get('acme', 'alder'), first);
  assert.notEqual(values.ensure('umbra', 'alder', 0), first);
  assert.deepEqual([...values.of('acme').keys()], ['alder']);
  assert.deepEqual([values.of('nobody').size, values.get('nobody', 'alder'), values.size], [0, undefined, 2]);
});

test('what is full refuses, until something in it is idle', () => {
  const values = open(2);
  const first = values.ensure('acme', 'alder', 0);
  values.ensure('umbra', 'alder', 0);
  assert.equal(values.ensure('acme', 'birch', 0), undefined);
  assert.ok(first);
  first.isIdle = true;
  assert.equal(values.ensure('acme', 'birch', 999), undefined, 'it looks once in a second');
  assert.ok(values.ensure('acme', 'birch', 1_000));
  assert.deepEqual(
    Array.from(values.entries(), ([tenant, name]) => [tenant, name]),
    [
      ['umbra', 'alder'],
      ['acme', 'birch'],
    ],
  );
});
