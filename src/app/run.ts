// Runs one role on the bus that the configuration names; disposing ends the role first and the bus last.
import type { Bus } from '../bus/bus.ts';
import type { Config } from '../config/schema.ts';
import type { Role } from '../core/role.ts';
import type { LogSink } from '../telemetry/log.ts';
import { openBus } from './bus.ts';
import { openGateway } from './gateway.ts';
import { type Ground, openGround } from './ground.ts';
import { openLedger } from './ledger.ts';
import { tenantsOf } from './policies.ts';
import { openRouter } from './router.ts';
import { openWorker } from './worker.ts';

type Open = (ground: Ground, bus: Bus) => Promise<Role>;

const ROLES = {
  gateway: (ground, bus) => openGateway(ground, bus),
  router: (ground, bus) => openRouter(ground, bus, tenantsOf(ground.config)),
  worker: openWorker,
  ledger: openLedger,
} as const satisfies Record<string, Open>;

export type RoleName = keyof typeof ROLES;

export async function runRole(name: RoleName, config: Config, sink: LogSink): Promise<Role> {
  await using opening = new AsyncDisposableStack();
  const ground = openGround(config, sink);
  opening.use(ground.timers);
  const bus = opening.use(await openBus(ground, name));
  const role = opening.use(await ROLES[name](ground, bus));
  const opened = opening.move();
  return { ...role, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
