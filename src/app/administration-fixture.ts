// Administration from a socket to the store of policies, for tests: the edge, the bus, the router's operations, and back.
import type { Role } from '../auth/principal.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { administerOver } from '../gateway/admin-client.ts';
import { askBelow, openEdge } from '../gateway/edge-fixture.ts';
import { serveAdmin } from '../router/admin.ts';
import { memoryExtensions, memoryPolicies } from '../router/admin-fixture.ts';
import { Breakers } from '../router/breakers.ts';
import { DecisionLog } from '../router/decision-log.ts';
import { DecisionRing } from '../router/decision-ring.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { administrationOf } from './administration.ts';

/** The router knows the tenants acme and zeta. */
export async function openAdministration(role: Role = 'admin', tenants: readonly string[] = ['acme']) {
  const timers = new Timers(systemClock);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const edge = await openEdge({ role, tenants, administer: administerOver(bus) });
  const breakers = new Breakers(telemetry);
  const policies = await memoryPolicies(['acme', 'zeta'], systemClock, telemetry);
  const ring = new DecisionRing();
  const decisions = new DecisionLog({ sink: ring, kept: ring, timers, telemetry, sample: 1 });
  const served = serveAdmin({
    bus,
    telemetry,
    ...administrationOf(policies, edge.authenticator, systemClock),
    timers,
    rehearse: async (_, request) => ({ request, executed: [] }),
    records: () => decisions.kept(),
    isAlone: () => true,
    routerId: 'r-1',
    extensions: await memoryExtensions({ bus, timers, telemetry }),
    breakers: {
      list: () => breakers.list(systemClock.nowMs()),
      async force({ tenantId, providerId, mode, reset }) {
        if (reset) breakers.force(tenantId, providerId, 'force_closed', systemClock.nowMs());
        return breakers.force(tenantId, providerId, mode, systemClock.nowMs());
      },
    },
    moment: { budgetsOf: async () => undefined, now: () => ({ attempt: 1, failed: new Set(), failureWords: [] }) },
  });
  const ask = askBelow(edge, '/api/v1');
  return {
    ask,
    edge,
    breakers,
    served,
    decisions,
    policies,
    async [Symbol.asyncDispose]() {
      await edge[Symbol.asyncDispose]();
      await bus[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
    },
  };
}
