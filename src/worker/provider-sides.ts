// The job types that ask a model, and the side of a provider that answers each.
import type { Provider, ProviderSide } from '../provider/provider.ts';

export const PROVIDER_SIDES = {
  'ai.chat': (provider) => provider,
  'ai.embed': ({ embeddings }) => embeddings,
} as const satisfies Readonly<Record<string, (provider: Provider) => ProviderSide | undefined>>;

export type ModelTask = keyof typeof PROVIDER_SIDES;

export const isModelTask = (type: string): type is ModelTask => Object.hasOwn(PROVIDER_SIDES, type);

/** A provider, and its own name of the model. */
export interface ProviderTarget {
  readonly provider: Provider;
  readonly upstreamModel: string;
}
