// Settings of the providers that workers call: addresses, keys by reference, models and prices (worker 10.1, 14.2).
import { Type } from 'typebox';
import { entry, integer, named, secretRef, section, span, text, token } from './setting.ts';

const price = (description: string) => Type.Integer({ minimum: 0, maximum: 1_000_000_000_000, description });

const prices = entry({
  input: price('Micro-USD per million uncached input tokens.'),
  cached_input: Type.Optional(price('Micro-USD per million input tokens read from a cache; absent means `input`.')),
  cache_write: Type.Optional(price('Micro-USD per million input tokens written to a cache; absent means `input`.')),
  output: price('Micro-USD per million output tokens, reasoning included.'),
  request: Type.Optional(price('Micro-USD per attempt.')),
});

const model = entry({
  upstream: Type.Optional(text('Name that the provider knows the model by; absent means the same name.')),
  price: Type.Optional(prices),
});

const provider = entry({
  id: token('Identifier of the provider; also the left part of `<provider>/<model>`.'),
  type: Type.Enum(['openai-compatible', 'nats', 'sim'], {
    description:
      '`openai-compatible` speaks to `base_url`; `nats` asks a service on the bus, which listens under the id; `sim` answers in the process, without a network.',
  }),
  base_url: Type.Optional(
    text('Address up to and including the version, for example `https://api.openai.com/v1`.', {
      pattern: '^https?://[^@\\s?#]+$',
    }),
  ),
  keys: Type.Optional(
    Type.Array(
      entry({
        id: token('Identifier of the key in logs.'),
        secret: secretRef('The provider key.'),
      }),
      {
        minItems: 1,
        maxItems: 1,
        description: 'The key sent as a bearer token; absent sends none. One key is served now.',
      },
    ),
  ),
  models: named(model, 'Models served, by the name that callers use. An empty map serves every name, unpriced.', {
    default: {},
  }),
  connections: integer(256, 1, 10_000, 'Sockets to the provider, per worker.'),
  script: Type.Optional(
    Type.Record(Type.String(), Type.Unknown(), {
      description: 'Behaviour of a `sim` provider; ignored by others.',
    }),
  ),
  settings: Type.Optional(
    Type.Record(Type.String(), Type.Unknown(), {
      description: 'Sent with each question to a `nats` provider; ignored by others. No secrets: they would travel.',
    }),
  ),
  pool: token('Pool of workers that serves the provider.', { default: 'default' }),
  headers: Type.Optional(named(text('The value.'), 'Headers added to every request; credentials belong in `keys`.')),
});

export const providersSchema = section({
  connect_ms: span(5000, 10, 'Time to open a connection to a provider.'),
  first_chunk_ms: span(120_000, 10, 'Time from the start of a call to its first content, or to the whole answer.'),
  idle_ms: span(60_000, 10, 'Longest silence between two events of a provider stream.'),
  max_body_bytes: integer(33_554_432, 1024, 1_073_741_824, 'Bytes of one provider answer.'),
  list: Type.Array(provider, { maxItems: 1000, default: [], description: 'The providers.' }),
});
