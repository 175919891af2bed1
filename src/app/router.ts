// The router's wiring.
import type { Authenticator } from '../auth/principal.ts';
import type { Bus } from '../bus/bus.ts';
import { WORKER_BEATS_MISSED_MAX } from '../contracts/limits.ts';
import { newProcessId } from '../core/ids.ts';
import type { Role } from '../core/role.ts';
import { startRouter } from '../router/router.ts';
import { administrationOf } from './administration.ts';
import type { Ground } from './ground.ts';
import type { OpenedPolicies } from './policies.ts';

export async function openRouter(
  ground: Ground,
  bus: Bus,
  policies: OpenedPolicies,
  authenticator: Authenticator,
): Promise<Role> {
  const { router, frames, worker } = ground.config;
  return startRouter({
    ...ground,
    bus,
    policies: policies.replica,
    administration: administrationOf(policies, authenticator, ground.timers.clock),
    settings: {
      ...router,
      id: router.id ?? newProcessId('router'),
      heartbeat_ms: frames.heartbeat_ms,
      silence_ms: frames.silence_ms,
      worker_lost_ms: worker.heartbeat_ms * WORKER_BEATS_MISSED_MAX,
    },
  });
}
