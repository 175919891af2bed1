// Opens the configured providers for a worker, each with its keys by reference and its own names of the models.
import type { Bus } from '../bus/bus.ts';
import type { ProviderConfig } from '../config/schema.ts';
import { at } from '../contracts/contract.ts';
import { providerCall } from '../contracts/provider-call.ts';
import { BeamlineError } from '../core/errors.ts';
import { openOpenAiCompatible } from '../provider/openai-compatible.ts';
import type { Provider } from '../provider/provider.ts';
import { openServiceProvider, type ServiceProvider } from '../provider/service-provider.ts';
import { openSimulated } from '../provider/simulated.ts';
import { parseScript } from '../provider/simulated-script.ts';
import type { ProviderTarget } from '../worker/provider-sides.ts';
import type { Ground } from './ground.ts';
import { openRegisteredProviders } from './registered-providers.ts';
import { requiredSecret } from './secret.ts';

export interface OpenedProviders extends AsyncDisposable {
  /** Of the configuration. */
  readonly ids: readonly string[];
  /** Models that the configuration names, by provider. */
  readonly models: ReadonlyMap<string, readonly string[]>;
  target(providerId: string, model: string): ProviderTarget | undefined;
}

/** The providers of one pool, and those that are registered, which every pool serves. Throws `validation_failed` for an address or a script that cannot be used. */
export async function openProviders(ground: Ground, bus: Bus, pool: string): Promise<OpenedProviders> {
  await using opening = new AsyncDisposableStack();
  const providers = new Map<string, { provider: Provider; config: ProviderConfig }>();
  for (const config of ground.config.providers.list) {
    if (config.pool === pool)
      providers.set(config.id, { provider: opening.use(openProvider(ground, bus, config)), config });
  }
  const { timers } = ground;
  const registered = opening.use(
    await openRegisteredProviders(ground, bus, ({ id, config }) =>
      openServiceProvider({ id, config, timers, ask: serviceOf(bus, id) }),
    ),
  );
  const opened = opening.move();
  return {
    ids: [...providers.keys()],
    models: new Map(Array.from(providers, ([id, { config }]) => [id, Object.keys(config.models)])),
    target(providerId, model) {
      const found = providers.get(providerId);
      if (found !== undefined) {
        return { provider: found.provider, upstreamModel: found.config.models[model]?.upstream ?? model };
      }
      const provider = registered.get(providerId);
      return provider === undefined ? undefined : { provider, upstreamModel: model };
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function openProvider(
  { config, timers }: Ground,
  bus: Bus,
  { id, type, base_url, keys, connections, headers, script, settings }: ProviderConfig,
): Provider {
  if (type === 'sim') return openSimulated({ id, script: parseScript(script ?? {}), timers });
  if (type === 'nats') return openServiceProvider({ id, config: settings, timers, ask: serviceOf(bus, id) });
  if (base_url === undefined) throw new BeamlineError('validation_failed', `provider ${id} needs base_url`);
  const [key] = keys ?? [];
  return openOpenAiCompatible({
    id,
    baseUrl: base_url,
    timers,
    ...(key === undefined
      ? {}
      : { key: requiredSecret(`providers.list ${id} keys ${key.id}`, key.secret, timers.clock) }),
    ...(headers === undefined ? {} : { headers }),
    limits: { connectMs: config.providers.connect_ms, maxBodyBytes: config.providers.max_body_bytes, connections },
  });
}

function serviceOf(bus: Bus, id: string): ServiceProvider['ask'] {
  const to = at(providerCall, { id });
  return (request, options) => {
    const correlation = { traceId: request.trace_id ?? '-', tenantId: request.tenant_id };
    return bus.request(to, request, { ...options, correlation });
  };
}
