import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Role } from './principal.ts';
import { can, type Permission, requirePermission } from './roles.ts';

const table: Readonly<Record<Permission, Readonly<Record<Role, boolean>>>> = {
  'inference:call': { viewer: false, operator: true, admin: true, service: true },
  'decision:write': { viewer: false, operator: true, admin: true, service: true },
  'decision:read': { viewer: true, operator: true, admin: true, service: true },
  'job:write': { viewer: false, operator: true, admin: true, service: true },
  'job:read': { viewer: true, operator: true, admin: true, service: true },
  'job:delete': { viewer: false, operator: false, admin: true, service: false },
  'job:export': { viewer: false, operator: false, admin: true, service: false },
  'approval:read': { viewer: true, operator: true, admin: true, service: false },
  'approval:decide': { viewer: false, operator: true, admin: true, service: false },
  'webhook:write': { viewer: false, operator: false, admin: true, service: false },
  'policy:read': { viewer: true, operator: true, admin: true, service: false },
  'policy:simulate': { viewer: false, operator: true, admin: true, service: false },
  'policy:write': { viewer: false, operator: true, admin: true, service: false },
  'policy:delete': { viewer: false, operator: false, admin: true, service: false },
  'usage:read': { viewer: true, operator: true, admin: true, service: false },
  'budget:read': { viewer: true, operator: true, admin: true, service: false },
  'budget:write': { viewer: false, operator: false, admin: true, service: false },
  'breaker:reset': { viewer: false, operator: true, admin: true, service: false },
  'extension:read': { viewer: true, operator: true, admin: true, service: false },
  'extension:write': { viewer: false, operator: false, admin: true, service: false },
  'dlq:read': { viewer: false, operator: true, admin: true, service: false },
  'dlq:replay': { viewer: false, operator: true, admin: true, service: false },
  'system:read': { viewer: true, operator: true, admin: true, service: false },
};

for (const [permission, roles] of Object.entries(table)) {
  for (const [role, isGranted] of Object.entries(roles)) {
    test(`the role ${role} ${isGranted ? 'has' : 'lacks'} ${permission}`, () => {
      const principal = { keyId: 'k', name: 'n', tenants: ['t'], role: role as Role, scopes: [] };
      assert.equal(can(principal, permission as Permission), isGranted);
      if (!isGranted)
        assert.throws(() => requirePermission(principal, permission as Permission), { code: 'forbidden' });
    });
  }
}
