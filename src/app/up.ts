// Everything in one process on the memory bus: ledger, worker, router, gateway, in this order, and back in reverse.
import type { Config } from '../config/schema.ts';
import { generateApiKey, hashApiKey, prefixOf } from '../auth/api-key.ts';
import type { LogSink } from '../telemetry/log.ts';
import { openBus } from './bus.ts';
import { policyDataDir } from './data-dir.ts';
import { authenticatorOf, openGateway } from './gateway.ts';
import { openGround } from './ground.ts';
import { openLedger } from './ledger.ts';
import { openPolicies, tenantsOf } from './policies.ts';
import { openRouter } from './router.ts';
import { openWorker } from './worker.ts';

/** The tenant of the generated key. */
const TENANT = 'default';

export interface Running extends AsyncDisposable {
  readonly url: string;
  /** The generated key; undefined when the configuration has keys of its own. */
  readonly key: string | undefined;
}

export async function openUp(config: Config, sink: LogSink): Promise<Running> {
  await using opening = new AsyncDisposableStack();
  const ground = openGround(config, sink);
  opening.use(ground.timers);
  const bus = opening.use(await openBus(ground, 'up'));
  const own = config.gateway.auth.keys.length > 0 ? undefined : generateKey();
  opening.use(await openLedger(ground, bus));
  opening.use(await openWorker(ground, bus));
  const tenants = own === undefined ? tenantsOf(config) : [TENANT, ...tenantsOf(config)];
  const policies = opening.use(await openPolicies(ground, bus, { tenants, dataDir: policyDataDir(config) }));
  opening.use(await openRouter(ground, bus, policies, authenticatorOf(ground, own?.identity)));
  const gateway = opening.use(await openGateway(ground, bus, policies.replica, own?.identity));
  const opened = opening.move();
  return { url: gateway.url, key: own?.key, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** A key that lives as long as the process, with a pepper that nobody else knows. */
function generateKey() {
  const key = generateApiKey('live');
  const pepper = generateApiKey('live');
  const record = {
    id: 'key_generated',
    name: 'generated at start',
    prefix: prefixOf(key) ?? '',
    hash: hashApiKey(key, pepper),
    tenants: [TENANT],
    role: 'admin' as const,
    scopes: ['http:egress', 'fs:read', 'fs:write', 'sql:read', 'human:request'],
  };
  return { key, identity: { keys: [record], pepper: () => pepper } };
}
