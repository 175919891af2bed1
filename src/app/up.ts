// Everything in one process on the memory bus: ledger, worker, router, gateway, in this order, and back in reverse.
import type { Config } from '../config/schema.ts';
import { type Check, type Checks, summaryOf } from '../core/health.ts';
import { newProcessId } from '../core/ids.ts';
import type { Role } from '../core/role.ts';
import { generateApiKey, hashApiKey, prefixOf } from '../auth/api-key.ts';
import { openBus } from './bus.ts';
import { policyDataDir } from './data-dir.ts';
import { authenticatorOf, openGateway } from './gateway.ts';
import { openGround } from './ground.ts';
import { openLedger } from './ledger.ts';
import { openPolicies, tenantsOf } from './policies.ts';
import { openPresence } from './presence.ts';
import { openRouter } from './router.ts';
import type { ProcessWays } from './run.ts';
import { openWorker } from './worker.ts';

/** The tenant of the generated key. */
const TENANT = 'default';

export interface Running extends AsyncDisposable {
  readonly url: string;
  /** Pieces of work that the end cut short; known once it is disposed. */
  readonly abandoned: number;
  /** The generated key; undefined when the configuration has keys of its own. */
  readonly key: string | undefined;
}

export async function openUp(config: Config, { sink, version, hurry }: ProcessWays): Promise<Running> {
  await using opening = new AsyncDisposableStack();
  const ground = openGround(config, sink, hurry);
  opening.use(ground.timers);
  const bus = opening.use(await openBus(ground, 'up'));
  const own = config.gateway.auth.keys.length > 0 ? undefined : generateKey();
  const presence =
    config.nats.url === undefined
      ? undefined
      : opening.use(await openPresence(ground, bus, { module: 'up', id: newProcessId('up'), version }));
  const ledger = opening.use(await openLedger(ground, bus));
  const worker = opening.use(await openWorker(ground, bus));
  const tenants = own === undefined ? tenantsOf(config) : [TENANT, ...tenantsOf(config)];
  const policies = opening.use(await openPolicies(ground, bus, { tenants, dataDir: policyDataDir(config) }));
  const authenticator = authenticatorOf(ground, own?.identity);
  const router = opening.use(await openRouter(ground, bus, policies, authenticator, presence?.key));
  const checks = (): Checks => ({
    router: checkOf(router),
    worker: checkOf(worker),
    ledger: checkOf(ledger),
    ...(presence === undefined ? {} : { storage: presence.check() }),
  });
  const gateway = opening.use(await openGateway(ground, bus, policies.replica, { identity: own?.identity, checks }));
  const opened = opening.move();
  return {
    url: gateway.url,
    get abandoned() {
      return worker.abandoned ?? 0;
    },
    key: own?.key,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

const checkOf = ({ checks }: Role): Check => summaryOf(checks?.() ?? {});

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
