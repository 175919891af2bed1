// Opens the configured providers for a worker, each with its keys by reference and its own names of the models.
import type { ProviderConfig } from '../config/schema.ts';
import { BeamlineError } from '../core/errors.ts';
import { openOpenAiCompatible } from '../provider/openai-compatible.ts';
import type { Provider } from '../provider/provider.ts';
import { openSimulated } from '../provider/simulated.ts';
import { parseScript } from '../provider/simulated-script.ts';
import type { CallTarget } from '../worker/call.ts';
import type { Ground } from './ground.ts';
import { requiredSecret } from './secret.ts';

export interface OpenedProviders extends AsyncDisposable {
  readonly ids: readonly string[];
  target(providerId: string, model: string): CallTarget | undefined;
}

/** The providers of one pool. Throws `validation_failed` for an address or a script that cannot be used. */
  /** Models that the configuration names, by provider. */
  readonly models: ReadonlyMap<string, readonly string[]>;
export function openProviders(ground: Ground, pool: string): OpenedProviders {
  const opened = new AsyncDisposableStack();
  const providers = new Map<string, { provider: Provider; config: ProviderConfig }>();
  for (const config of ground.config.providers.list) {
    if (config.pool === pool) providers.set(config.id, { provider: opened.use(openProvider(ground, config)), config });
  }
  return {
    ids: [...providers.keys()],
    target(providerId, model) {
      const found = providers.get(providerId);
      if (found === undefined) return undefined;
      return { provider: found.provider, upstreamModel: found.config.models[model]?.upstream ?? model };
    },
    models: new Map(Array.from(providers, ([id, { config }]) => [id, Object.keys(config.models)])),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function openProvider(
  { config, timers }: Ground,
  { id, type, base_url, keys, connections, headers, script }: ProviderConfig,
): Provider {
  if (type === 'sim') return openSimulated({ id, script: parseScript(script ?? {}), timers });
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
