// What each role may do (gateway 4.3). Denied unless the table grants it; only permissions that a route asks for.
import { BeamlineError } from '../core/errors.ts';
import type { Principal, Role } from './principal.ts';

const GRANTS = {
  'inference:call': ['operator', 'admin', 'service'],
  'decision:write': ['operator', 'admin', 'service'],
  'decision:read': ['viewer', 'operator', 'admin', 'service'],
  'job:write': ['operator', 'admin', 'service'],
  'job:read': ['viewer', 'operator', 'admin', 'service'],
  'job:delete': ['admin'],
  'job:export': ['admin'],
  'approval:read': ['viewer', 'operator', 'admin'],
  'approval:decide': ['operator', 'admin'],
  'webhook:write': ['admin'],
  'policy:read': ['viewer', 'operator', 'admin'],
  'policy:simulate': ['operator', 'admin'],
  'policy:write': ['operator', 'admin'],
  'policy:delete': ['admin'],
  'usage:read': ['viewer', 'operator', 'admin'],
  'budget:read': ['viewer', 'operator', 'admin'],
  'budget:write': ['admin'],
  'breaker:reset': ['operator', 'admin'],
  'extension:read': ['viewer', 'operator', 'admin'],
  'extension:write': ['admin'],
  'dlq:read': ['operator', 'admin'],
  'dlq:replay': ['operator', 'admin'],
  'system:read': ['viewer', 'operator', 'admin'],
} as const satisfies Record<string, readonly Role[]>;

export type Permission = keyof typeof GRANTS;

export const can = ({ role }: Principal, permission: Permission): boolean =>
  (GRANTS[permission] as readonly Role[]).includes(role);

/** Throws `forbidden` when the principal's role lacks the permission. */
export function requirePermission(principal: Principal, permission: Permission): void {
  if (!can(principal, permission)) throw new BeamlineError('forbidden', `the key may not do ${permission}`);
}
