// The gateway's wiring: the relay over the bus, and the HTTP edge over the relay.
import { openAuthenticator, type AuthenticatorOptions } from '../auth/authenticator.ts';
import type { Authenticator } from '../auth/principal.ts';
import type { Bus } from '../bus/bus.ts';
import { openModelNames } from '../catalog/model-names.ts';
import type { Checks } from '../core/health.ts';
import { newProcessId } from '../core/ids.ts';
import { administerOver } from '../gateway/admin-client.ts';
import { watchContractSwitch } from '../gateway/contract-switch-watch.ts';
import { decisionsOver } from '../gateway/decide-client.ts';
import { type Gateway, startGateway } from '../gateway/gateway.ts';
import { askLedgerOver } from '../gateway/ledger-client.ts';
import { openJobs } from '../gateway/jobs/jobs.ts';
import { openLetterDesk } from '../gateway/letter-desk.ts';
import { startRelay } from '../gateway/relay.ts';
import { askRouterLoadOver } from '../gateway/router-load.ts';
import type { PolicyReplica } from '../router/policy-replica.ts';
import { openBusBlobs } from './blobs.ts';
import { openBudgets } from './budgets.ts';
import { crashPoints } from './crash-points.ts';
import type { Ground } from './ground.ts';
import { requiredSecret } from './secret.ts';
import { openWebhookSender } from './webhooks.ts';
import { tenantFacts } from './tenant-facts.ts';

type Identity = Pick<AuthenticatorOptions, 'keys' | 'pepper' | 'previousPepper'>;

/** Ids of a tenant's stored policies, which are names of models too. */
type PolicyIds = Pick<PolicyReplica, 'idsOf'>;

export interface GatewayMore {
  /** Replaces the keys of the configuration, for a process that made a key of its own. */
  readonly identity?: Identity | undefined;
  /** What else must be well in this process. */
  readonly checks?: () => Checks;
}

export async function openGateway(
  ground: Ground,
  bus: Bus,
  policies: PolicyIds,
  { identity, checks }: GatewayMore = {},
): Promise<Gateway> {
  const { config, timers, telemetry } = ground;
  const { gateway, frames } = config;
  const tenants = new Map(gateway.tenants.map((tenant) => [tenant.id, tenantFacts(tenant)]));
  await using opening = new AsyncDisposableStack();
  const relay = opening.use(
    startRelay({
      bus,
      timers,
      telemetry,
      settings: {
        gatewayId: newProcessId('gateway'),
        decideTimeoutMs: gateway.router.decide_timeout_ms,
        silenceMs: frames.silence_ms,
      },
      tenantOf: (tenantId) => tenants.get(tenantId),
    }),
  );
  const configured = { version: '2' as const, ...config.contracts.v2, tenants: [...config.contracts.v2.tenants] };
  const contracts = opening.use(
    await watchContractSwitch(bus, { timers, log: telemetry.log.for('gateway') }, configured),
  );
  const decide = decisionsOver({ bus, clock: timers.clock, telemetry, contracts });
  const budgets = opening.use(await openBudgets(ground, bus));
  const jobs = opening.use(
    await openJobs({
      webhooks: openWebhookSender(ground, opening),
      bus,
      timers,
      telemetry,
      settings: gateway.jobs,
      blobs: await openBusBlobs(ground, bus),
      decideTimeoutMs: gateway.router.decide_timeout_ms,
      crash: crashPoints(ground),
      tenantOf: (tenantId) => tenants.get(tenantId),
      budgets: budgets.jobs,
    }),
  );
  const served = opening.use(
    await startGateway({
      settings: gateway,
      jobs,
      exchanges: budgets.around(relay),
      budgets: budgets.book,
      letters: openLetterDesk(bus, timers),
      decide(request, timeoutMs) {
        const tenant = tenants.get(request.tenant_id);
        return decide({ ...request, version: '2', ...(tenant === undefined ? {} : { tenant }) }, timeoutMs);
      },
      administer: administerOver(bus),
      askLedger: askLedgerOver(bus),
      authenticator: authenticatorOf(ground, identity),
      names: namesOf(config, policies),
      busState: () => bus.state,
      askRouterLoad: askRouterLoadOver(bus, timers.clock),
      checks,
      ...ground,
    }),
  );
  const opened = opening.move();
  return { name: 'gateway', url: served.url, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

const namesOf = ({ providers, gateway }: Ground['config'], policies: PolicyIds) =>
  openModelNames({
    providers: providers.list,
    tenants: gateway.tenants,
    policiesOf: (tenantId) => policies.idsOf(tenantId),
  });

/** Of the keys of the configuration, or of those that the process made. */
export const authenticatorOf = (ground: Ground, identity?: Identity): Authenticator =>
  openAuthenticator({ ...(identity ?? identityOf(ground)), clock: ground.timers.clock });

function identityOf({ config, timers }: Ground): Identity {
  const { keys, pepper } = config.gateway.auth;
  if (pepper.current === undefined) return { keys, pepper: () => undefined };
  const secret = (name: 'current' | 'previous', ref: string) =>
    requiredSecret(`gateway.auth.pepper.${name}`, ref, timers.clock);
  return {
    keys,
    pepper: secret('current', pepper.current),
    previousPepper: pepper.previous === undefined ? undefined : secret('previous', pepper.previous),
  };
}
