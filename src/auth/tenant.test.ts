import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Principal } from './principal.ts';
import { selectTenant } from './tenant.ts';

const principal = (...tenants: string[]): Principal => ({
  keyId: 'k',
  name: 'n',
  tenants,
  role: 'service',
  scopes: [],
});

const chosen: readonly (readonly [Principal, header: string | undefined, tenant: string])[] = [
  [principal('a'), undefined, 'a'],
  [principal('a'), 'a', 'a'],
  [principal('a', 'b'), 'b', 'b'],
];
for (const [who, header, tenant] of chosen) {
  test(`of ${who.tenants.join(', ')} the header ${header ?? 'that is absent'} selects ${tenant}`, () =>
    assert.equal(selectTenant(who, header), tenant));
}

const refused: readonly (readonly [Principal, header: string | undefined, code: string])[] = [
  [principal('a', 'b'), undefined, 'tenant_required'],
  [principal('a'), 'b', 'forbidden'],
  [principal('a'), '', 'forbidden'],
  [principal('a', 'b'), 'A', 'forbidden'],
];
for (const [who, header, code] of refused) {
  test(`of ${who.tenants.join(', ')} the header ${JSON.stringify(header ?? 'that is absent')} is ${code}`, () =>
    assert.throws(() => selectTenant(who, header), { code }));
}
