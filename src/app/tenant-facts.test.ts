import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readConfig } from '../config/read.ts';
import { tenantFacts } from './tenant-facts.ts';

test('a router is told the tier, the labels and the weight that the configuration gives a tenant', () => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-tenants-'));
  const file = join(folder, 'beamline.yaml');
  writeFileSync(
    file,
    'gateway: { tenants: [{ id: acme, tier: gold, labels: { region: eu }, weight: 3 }, { id: umbra }] }',
  );
  const { config } = readConfig({ env: {}, file });
  rmSync(folder, { recursive: true });
  assert.deepEqual(config.gateway.tenants.map(tenantFacts), [
    { tier: 'gold', labels: { region: 'eu' }, weight: 3 },
    {},
  ]);
});
