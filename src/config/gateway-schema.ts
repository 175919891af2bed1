// Settings of the gateway: listener, streams, identity, tenants (gateway 2, 4, 11, 18).
import { Type } from 'typebox';
import { entry, id, integer, named, secretRef, section, span, text, token } from './setting.ts';

const MIB = 1_048_576;

const http = section({
  host: text('Address that the listener binds; `beamline up` binds 127.0.0.1 unless told otherwise.', {
    default: '0.0.0.0',
  }),
  port: integer(8080, 0, 65_535, 'Port of the listener; 0 takes a free one.'),
  headers_max_bytes: integer(16_384, 1024, 262_144, 'Bytes of all request headers together; more is 431.'),
  headers_max_count: integer(100, 10, 2000, 'Number of request headers; more is 431.'),
  headers_timeout_ms: span(10_000, 100, 'Time to receive the headers; later is 408.'),
  body_timeout_ms: span(60_000, 100, 'Time to receive the whole request; later is 408.'),
  keep_alive_ms: span(72_000, 100, 'An idle socket closes after this time.'),
  max_requests_per_socket: integer(10_000, 1, 10_000_000, 'A socket closes after this many requests.'),
  max_connections: integer(10_000, 1, 1_000_000, 'Open sockets; further ones are dropped.'),
  body_limit: section({
    inference: integer(
      8 * MIB,
      1024,
      64 * MIB,
      'Bytes of a request body under `/v1/`; more is 413. At most 654464 count: the body travels in a message.',
    ),
    native: integer(
      MIB,
      1024,
      64 * MIB,
      'Bytes of a request body under `/api/v1/`; more is 413. At most 654464 count, as above.',
    ),
  }),
  deadline_ms: integer(300_000, 100, 3_600_000, 'Ceiling for the time an interactive request may take.'),
});

const moment = (description: string) =>
  Type.String({
    pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,3})?Z$',
    title: 'an RFC 3339 UTC time',
    description,
  });

const apiKey = entry({
  id: id('Identifier of the key in logs and usage; never secret.'),
  name: text('Name for people.'),
  prefix: Type.String({
    pattern: '^blk_(live|test)_[0-9A-Za-z]{8}$',
    title: 'the public prefix of an API key',
    description: 'The public part of the key, `blk_live_` and eight characters.',
  }),
  hash: Type.String({
    pattern: '^[0-9a-f]{64}$',
    title: 'the hash of an API key',
    description: 'HMAC-SHA256 of the whole key with the pepper, hex; `beamline key create` prints it.',
  }),
  tenants: Type.Array(token('Identifier of a tenant.'), {
    minItems: 1,
    maxItems: 1000,
    description: 'Tenants that the key may act for.',
  }),
  role: Type.Enum(['viewer', 'operator', 'admin', 'service'], {
    description: 'What the key may do.',
  }),
  models: Type.Optional(
    Type.Array(text('A model name.'), {
      maxItems: 1000,
      description: 'Model names that the key may call; absent allows all.',
    }),
  ),
  policies: Type.Optional(
    Type.Array(id('A policy id.'), {
      maxItems: 1000,
      description: 'Policies that the key may use; absent allows all.',
    }),
  ),
  scopes: Type.Array(
    Type.Enum(['http:egress', 'fs:read', 'fs:write', 'sql:read', 'sql:write', 'human:request'], {
      description: 'What a block may do.',
    }),
    { maxItems: 16, default: [], description: 'What blocks may do for jobs of the key, beside inference.' },
  ),
  ip_allow: Type.Optional(
    Type.Array(Type.String({ pattern: '^[0-9A-Fa-f:.]+(/\\d{1,3})?$', title: 'an address or a network' }), {
      minItems: 1,
      maxItems: 100,
      description: 'Addresses and networks (CIDR) from which the key may be used; absent allows all.',
    }),
  ),
  expires_at: Type.Optional(moment('Moment from which the key is refused, RFC 3339 UTC; absent means never.')),
  revoked_at: Type.Optional(moment('Moment of its revocation, from which the key is refused, RFC 3339 UTC.')),
});

const tenant = entry({
  id: token('Identifier of the tenant.'),
  tier: Type.Optional(token('Its tier, which policies read as `tenant.tier`.')),
  labels: Type.Optional(
    named(text('The value.'), 'Facts of the tenant, which policies read as `tenant.labels`; for example its region.'),
  ),
  policies_max: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 10_000, description: 'Policies that it may store; 100 without this.' }),
  ),
  weight: integer(
    1,
    1,
    1000,
    'Its share of the places of workers while several tenants wait: one of 2 gets twice what one of 1 gets.',
  ),
  aliases: Type.Optional(
    named(
      text('`policy:<id>`, `<provider>/<model>` or a model name.'),
      'Alias to its target: a policy (`policy:<id>`) or a provider model.',
    ),
  ),
});

const webhook = entry({
  id: id('Identifier that jobs name.'),
  tenant: token('Tenant whose jobs it hears of.'),
  url: text('Address that is called; public, and by https only.', { pattern: '^https://[^\\s]+$' }),
  secrets: Type.Array(secretRef('`whsec_` and 24 to 64 bytes in base64.'), {
    minItems: 1,
    maxItems: 2,
    description: 'What signs; both of two sign, so that receivers can change over.',
  }),
  events: Type.Array(Type.Enum(['job.completed', 'job.failed', 'job.cancelled', 'job.expired']), {
    minItems: 1,
    maxItems: 4,
    default: ['job.completed', 'job.failed', 'job.cancelled', 'job.expired'],
    description: 'What it wants to hear.',
  }),
  include_result: Type.Boolean({ default: false, description: 'Whether results up to 20480 bytes are sent along.' }),
});

export const gatewaySchema = section({
  http,
  stream: section({
    heartbeat_ms: span(
      15_000,
      100,
      'Silence after which a stream gets a keep-alive comment; also how long its head is held.',
    ),
    buffer_bytes: integer(
      262_144,
      4096,
      64 * MIB,
      'Unread bytes that a stream may hold for a slow reader before it is closed.',
    ),
    stall_ms: span(30_000, 100, 'A reader without progress for this time is disconnected and its work cancelled.'),
  }),
  router: section({
    decide_timeout_ms: span(5000, 10, 'Time without decision or frame after which the answer is 504 `timeout`.'),
  }),
  budget_output_tokens: integer(
    4096,
    1,
    10_000_000,
    'Output tokens that a budget reserves for a request that names no maximum.',
  ),
  backpressure: section({
    max_in_flight: integer(2000, 1, 1_000_000, 'Interactive requests in flight; more are 503 `service_overloaded`.'),
    sample_ms: span(
      1000,
      500,
      'How often routers are asked how loaded they are; what would ask them is refused while all of them have too much.',
    ),
  }),
  jobs: section({
    deadline_ms: span(86_400_000, 1, 'Time that a job has whose caller names no deadline.'),
    streams: section({
      per_tenant: integer(
        100,
        1,
        1_000_000,
        'Open event streams of jobs, and as many waiting callers, for one tenant.',
      ),
      per_process: integer(1000, 1, 1_000_000, 'The same for all tenants together; more are 503.'),
    }),
  }),
  webhooks: Type.Array(webhook, {
    maxItems: 1000,
    default: [],
    description: 'Endpoints that are told of the end of jobs which name them (Standard Webhooks 1.0).',
  }),
  shutdown: section({
    timeout_ms: span(30_000, 1000, 'Time from the signal to the exit; running streams end a second earlier.'),
    lame_duck_ms: span(5000, 0, 'Time that traffic is still served after `/readyz` turned 503.'),
  }),
  auth: section({
    pepper: section({
      current: Type.Optional(
        secretRef('Key of the HMAC over API keys; required when `gateway.auth.keys` is not empty.'),
      ),
      previous: Type.Optional(secretRef('The one before, while keys that were hashed with it are in use.')),
    }),
    failures_per_minute: integer(
      20,
      0,
      1_000_000,
      'Bad credentials from one address (IPv6: one /64) in a minute; more are 429. 0 is no limit. Good ones always pass.',
    ),
    keys: Type.Array(apiKey, {
      maxItems: 100_000,
      default: [],
      description: 'API keys, hashed; `beamline key create` prints an entry.',
    }),
  }),
  tenants: Type.Array(tenant, {
    maxItems: 100_000,
    default: [],
    description: 'Tenants that have settings of their own.',
  }),
});
