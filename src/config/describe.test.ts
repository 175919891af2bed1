import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeConfig, renderConfig } from './describe.ts';
import { readConfig } from './read.ts';

test('every setting has a type and a description that ends as a sentence', () => {
  const all = describeConfig();
  const bare = all.filter(({ type, description }) => type === '' || !description.endsWith('.'));
  assert.deepEqual(bare, []);
  assert.equal(new Set(all.map(({ path }) => path)).size, all.length);
});

test('the reference reaches into lists and maps', () => {
  const prices = describeConfig().find(({ path }) => path === 'providers.list[].models.<name>.price.input');
  assert.equal(prices?.type, 'integer from 0 to 1000000000000');
});

test('the effective settings are shown with their sources, and hashes and header values are masked', () => {
  const hash = 'ab'.repeat(32);
  const effective = readConfig({
    env: { BEAMLINE_WORKER_POOL: 'gpu' },
    flags: {
      'gateway.auth.pepper.current': 'env:PEPPER',
      'gateway.auth.keys': [{ id: 'k', name: 'n', prefix: 'blk_live_00000000', hash, tenants: ['t'], role: 'admin' }],
      'providers.list': [{ id: 's', type: 'sim', headers: { 'x-org': 'sekret' } }],
    },
  });
  const text = renderConfig(effective);
  for (const line of [
    'worker.pool = "gpu"  # environment',
    'nats.url = unset  # default',
    'gateway.http.port = 8080  # default',
  ]) {
    assert.ok(text.split('\n').includes(line), line);
  }
  assert.ok(!text.includes(hash) && !text.includes('sekret'));
});
