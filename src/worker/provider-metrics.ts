// What providers did for this worker, by provider and model (worker 15). Names are those of the configuration: a model that it
// does not name counts as `other`, a provider that it does not name as none.
import type { Usage } from '../contracts/fields.ts';
import { ATTEMPT_SECONDS, type Counter, type Family, type Histogram, type Metrics } from '../telemetry/metrics.ts';
import type { AttemptEnd } from './attempt-messages.ts';

const OTHER = 'other';
const LABELS = ['provider', 'model', 'status'] as const;

/** Models that the configuration names, by provider. */
export type NamedModels = ReadonlyMap<string, readonly string[]>;

export interface ProviderAttempt {
  readonly provider: string;
  readonly model: string;
  readonly state: AttemptEnd['state'];
  readonly usage: Usage | undefined;
  /** From the moment on which the provider was asked; undefined when it never was. */
  readonly ranMs: number | undefined;
  /** Up to the first content of a stream. */
  readonly firstChunkMs: number | undefined;
}

interface OfState {
  readonly requests: Counter;
  readonly seconds: Histogram;
  readonly firstChunk: Histogram;
}

/** Children of one provider and model; those of a status are made when it first occurs. */
interface OfModel {
  readonly model: string;
  readonly byState: Map<AttemptEnd['state'], OfState>;
  readonly input: Counter;
  readonly output: Counter;
  readonly cached: Counter;
  readonly reasoning: Counter;
  readonly cost: Counter;
}

export class ProviderMetrics {
  readonly #families: ReturnType<typeof declare>;
  /** Every name of the configuration, resolved; `OTHER` stands for the rest. */
  readonly #known: ReadonlyMap<string, ReadonlyMap<string, OfModel>>;

  constructor(metrics: Metrics, named: NamedModels) {
    this.#families = declare(metrics);
    this.#known = new Map(
      Array.from(named, ([provider, models]) => [
        provider,
        new Map([...models, OTHER].map((model) => [model, this.#ofModel(provider, model)])),
      ]),
    );
  }

  /** An attempt of which the provider was asked, or may have been. */
  ended({ provider, model, state, usage, ranMs, firstChunkMs }: ProviderAttempt): void {
    const models = this.#known.get(provider);
    const of = models?.get(model) ?? models?.get(OTHER);
    if (of === undefined || ranMs === undefined) return;
    const timed = of.byState.get(state) ?? this.#ofState(provider, of, state);
    timed.requests.add();
    timed.seconds.observe(ranMs / 1_000);
    if (firstChunkMs !== undefined) timed.firstChunk.observe(firstChunkMs / 1_000);
    if (usage === undefined) return;
    of.input.add(usage.input_tokens);
    of.output.add(usage.output_tokens);
    if (usage.cached_input_tokens !== undefined) of.cached.add(usage.cached_input_tokens);
    if (usage.reasoning_tokens !== undefined) of.reasoning.add(usage.reasoning_tokens);
    of.cost.add(usage.cost_micro_usd);
  }

  #ofModel(provider: string, model: string): OfModel {
    const { tokens, cost } = this.#families;
    return {
      model,
      byState: new Map(),
      input: tokens.of(provider, model, 'input'),
      output: tokens.of(provider, model, 'output'),
      cached: tokens.of(provider, model, 'cached_input'),
      reasoning: tokens.of(provider, model, 'reasoning'),
      cost: cost.of(provider, model),
    };
  }

  #ofState(provider: string, { model, byState }: OfModel, state: AttemptEnd['state']): OfState {
    const { requests, seconds, firstChunk } = this.#families;
    const timed = {
      requests: requests.of(provider, model, state),
      seconds: seconds.of(provider, model, state),
      firstChunk: firstChunk.of(provider, model, state),
    };
    byState.set(state, timed);
    return timed;
  }
}

interface Families {
  readonly requests: Family<Counter>;
  readonly seconds: Family<Histogram>;
  readonly firstChunk: Family<Histogram>;
  readonly tokens: Family<Counter>;
  readonly cost: Family<Counter>;
}

const declare = (metrics: Metrics): Families => ({
  requests: metrics.counter({
    name: 'worker_provider_requests_total',
    help: 'Requests to providers, by their end.',
    labels: LABELS,
  }),
  seconds: metrics.histogram(
    { name: 'worker_provider_seconds', help: 'Of requests to providers, by their end.', labels: LABELS },
    ATTEMPT_SECONDS,
  ),
  firstChunk: metrics.histogram(
    { name: 'worker_first_chunk_seconds', help: 'Up to the first content of a stream.', labels: LABELS },
    ATTEMPT_SECONDS,
  ),
  tokens: metrics.counter({
    name: 'worker_tokens_total',
    help: 'Tokens by kind, reported or estimated; cached and reasoning tokens are parts of the other two.',
    labels: ['provider', 'model', 'kind'],
  }),
  cost: metrics.counter({
    name: 'worker_cost_micro_usd_total',
    help: 'Cost by the configured prices, in micro-USD; the ledger has the money.',
    labels: ['provider', 'model'],
  }),
});
