// The router's wiring.
import type { Bus } from '../bus/bus.ts';
import { WORKER_BEATS_MISSED_MAX } from '../contracts/limits.ts';
import { newProcessId } from '../core/ids.ts';
import type { Role } from '../core/role.ts';
import type { Policies } from '../router/policies.ts';
import { startRouter } from '../router/router.ts';
import type { Ground } from './ground.ts';

export async function openRouter(ground: Ground, bus: Bus, policies: Policies): Promise<Role> {
  const { router, frames, worker } = ground.config;
  return startRouter({
    ...ground,
    bus,
    policies,
    settings: {
      ...router,
      id: router.id ?? newProcessId('router'),
      heartbeat_ms: frames.heartbeat_ms,
      silence_ms: frames.silence_ms,
      worker_lost_ms: worker.heartbeat_ms * WORKER_BEATS_MISSED_MAX,
    },
  });
}
