// Runs one role on the bus that the configuration names; disposing ends the role first and the bus last.
import type { Bus } from '../bus/bus.ts';
import type { Config } from '../config/schema.ts';
import type { Checks } from '../core/health.ts';
import { newProcessId } from '../core/ids.ts';
import type { Role } from '../core/role.ts';
import type { LogSink } from '../telemetry/log.ts';
import { openBus } from './bus.ts';
import { policyDataDir } from './data-dir.ts';
import { authenticatorOf, openGateway } from './gateway.ts';
import { type Ground, openGround } from './ground.ts';
import { openLedger } from './ledger.ts';
import { openOperations } from './operations.ts';
import { openPolicies, type OpenedPolicies, tenantsOf } from './policies.ts';
import { type OpenedPresence, openPresence } from './presence.ts';
import { openRouter } from './router.ts';
import { openWorker } from './worker.ts';

/** `checks` are those of the process, for a role with pages of its own; `presence` is what it tells of itself. */
type Open = (ground: Ground, bus: Bus, checks: () => Checks, presence: OpenedPresence) => Promise<Role>;

const ROLES = {
  gateway: (ground, bus, checks) =>
    // For the names of models only: revisions and snapshot are the router's.
    withPolicies(ground, bus, undefined, ({ replica }) => openGateway(ground, bus, replica, { checks })),
  router: (ground, bus, _checks, presence) =>
    withPolicies(ground, bus, policyDataDir(ground.config), (policies) =>
      openRouter(ground, bus, policies, authenticatorOf(ground), presence.key),
    ),
  worker: (ground, bus, _checks, presence) => openWorker(ground, bus, presence.clockSkewMs),
  ledger: openLedger,
} as const satisfies Record<string, Open>;

export type RoleName = keyof typeof ROLES;

/** What a process is told by whoever started it. */
export interface ProcessWays {
  readonly sink: LogSink;
  /** Of the product, for peers on NATS. */
  readonly version: string;
  readonly hurry: AbortSignal;
}

/** Throws `unavailable` if a process serves whose version does not fit ours. */
export async function runRole(name: RoleName, config: Config, { sink, version, hurry }: ProcessWays): Promise<Role> {
  await using opening = new AsyncDisposableStack();
  const ground = openGround(config, sink, hurry);
  opening.use(ground.timers);
  let presence: OpenedPresence | undefined;
  const checks = (): Checks => (presence === undefined ? {} : { storage: presence.check() });
  const operations = name === 'gateway' ? undefined : opening.use(await openOperations(ground, name, checks));
  const bus = opening.use(await openBus(ground, name));
  presence = opening.use(await openPresence(ground, bus, { module: name, id: newProcessId(name), version }));
  const role = opening.use(await ROLES[name](ground, bus, checks, presence));
  operations?.serving(role);
  const opened = opening.move();
  return {
    name: role.name,
    get abandoned() {
      return role.abandoned ?? 0;
    },
    async [Symbol.asyncDispose]() {
      operations?.draining();
      await opened.disposeAsync();
    },
  };
}

async function withPolicies(
  ground: Ground,
  bus: Bus,
  dataDir: string | undefined,
  open: (policies: OpenedPolicies) => Promise<Role>,
): Promise<Role> {
  await using opening = new AsyncDisposableStack();
  const policies = opening.use(await openPolicies(ground, bus, { tenants: tenantsOf(ground.config), dataDir }));
  const role = opening.use(await open(policies));
  const opened = opening.move();
  return { ...role, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
