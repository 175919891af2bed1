// The router's wiring.
import type { Authenticator } from '../auth/principal.ts';
import type { Bus } from '../bus/bus.ts';
import type { Config } from '../config/schema.ts';
import { jobBucket } from '../contracts/job.ts';
import { WORKER_BEATS_MISSED_MAX } from '../contracts/limits.ts';
import { type Check, mustHold, shouldHold } from '../core/health.ts';
import { newProcessId } from '../core/ids.ts';
import type { Role } from '../core/role.ts';
import { startRouter } from '../router/router.ts';
import { administrationOf } from './administration.ts';
import { budgetsOf } from './configured-budgets.ts';
import { openDecisionLog } from './decision-log.ts';
import type { Ground } from './ground.ts';
import { openLivePrices } from './live-prices.ts';
import { openSpilledLetters } from './spilled-letters.ts';
import { openPeers } from './peers.ts';
import type { OpenedPolicies } from './policies.ts';

/** Of the gateway's patience with a decision. */
const EXTENSIONS_SHARE = 0.8;
/** What the bucket of jobs may weigh in the memory of this process. */
const MEMORY_BYTES_MAX = 268_435_456;
const JOURNAL_BYTES_MAX = 1_073_741_824;

/** `presenceKey` is where the process tells of itself; undefined: nobody else is there. */
export async function openRouter(
  ground: Ground,
  bus: Bus,
  policies: OpenedPolicies,
  authenticator: Authenticator,
  presenceKey: string | undefined,
): Promise<Role> {
  const { router, frames, worker, gateway } = ground.config;
  const decisions = await openDecisionLog(ground);
  const peers = presenceKey === undefined ? undefined : await openPeers(bus, ground.timers, presenceKey);
  const prices = await openLivePrices(ground, bus, ground.telemetry.log.for('router'));
  policies.pricedBy(prices);
  const letters = await openSpilledLetters(ground, bus, 'router');
  const role = await startRouter({
    ...ground,
    routers: peers === undefined ? undefined : () => peers.share(),
    bus,
    policies: policies.replica,
    decisions,
    prices,
    configuredBudgets: budgetsOf(ground.config),
    spill: letters.spill,
    registry: policies.registry,
    administration: administrationOf(policies, authenticator, ground.timers.clock),
    settings: {
      ...router,
      id: router.id ?? newProcessId('router'),
      jobs_bytes_max: router.jobs_bytes_max ?? jobBytesMax(ground.config),
      heartbeat_ms: frames.heartbeat_ms,
      silence_ms: frames.silence_ms,
      extensions_ms: Math.floor(gateway.router.decide_timeout_ms * EXTENSIONS_SHARE),
      budget_output_tokens: gateway.budget_output_tokens,
      worker_lost_ms: worker.heartbeat_ms * WORKER_BEATS_MISSED_MAX,
    },
  });
  return {
    name: role.name,
    checks: () => ({
      bus: mustHold(bus.state === 'connected', bus.state),
      policies: policiesCheck(policies, ground.timers.clock.nowMs()),
    }),
    state: () => role.state?.() ?? {},
    async [Symbol.asyncDispose]() {
      peers?.[Symbol.dispose]();
      await role[Symbol.asyncDispose]();
      await prices[Symbol.asyncDispose]();
      await letters[Symbol.asyncDispose]();
      await decisions?.[Symbol.asyncDispose]();
    },
  };
}

/** What stands in the memory of this process is held smaller than what stands on the disk of a server. */
function jobBytesMax({ nats, data_dir: dataDir }: Config): number {
  if (nats.url !== undefined) return jobBucket.bytesMax;
  return dataDir === undefined ? MEMORY_BYTES_MAX : JOURNAL_BYTES_MAX;
}

function policiesCheck({ replica }: OpenedPolicies, nowMs: number): Check {
  if (!replica.isReady) return mustHold(false, 'were not read yet');
  if (replica.isStale(nowMs)) return shouldHold(false, 'their source is out of reach');
  return shouldHold(replica.faulty === 0, `${replica.faulty} documents have faults and were refused`);
}
