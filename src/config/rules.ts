// What must hold between settings: what a schema of one value cannot say.
import { isIP } from 'node:net';
import { heirFaults } from './heir-address.ts';
import { policySourceOf } from './policy-source.ts';
import type { Config } from './schema.ts';
import type { Fault, Path } from './settle.ts';

type Rule = (config: Config) => Iterable<Fault>;

const CREDENTIAL_HEADERS = new Set(['authorization', 'proxy-authorization', 'x-api-key', 'api-key', 'cookie']);
const BUILT_IN_POLICIES = new Set(['default', 'direct']);

function* repeated(values: readonly string[], path: (index: number) => Path): Generator<Fault> {
  const seen = new Set<string>();
  for (const [index, value] of values.entries()) {
    if (seen.has(value)) yield { path: path(index), message: 'repeats an earlier entry' };
    seen.add(value);
  }
}

function* providers({ providers: { list } }: Config): Generator<Fault> {
  const at = (index: number, ...rest: string[]): Path => ['providers', 'list', index, ...rest];
  yield* repeated(
    list.map(({ id }) => id),
    (index) => at(index, 'id'),
  );
  for (const [index, provider] of list.entries()) {
    if (provider.type === 'openai-compatible' && provider.base_url === undefined) {
      yield { path: at(index, 'base_url'), message: 'is required for type openai-compatible' };
    }
    if (provider.base_url !== undefined && !URL.canParse(provider.base_url)) {
      yield { path: at(index, 'base_url'), message: 'is not an address' };
    }
    for (const name of Object.keys(provider.headers ?? {})) {
      if (CREDENTIAL_HEADERS.has(name.toLowerCase())) {
        yield { path: at(index, 'headers', name), message: 'carries a credential: use keys', isKey: true };
      }
    }
  }
}

function isNetwork(text: string): boolean {
  const [address = '', bits = '0'] = text.split('/');
  const family = isIP(address);
  return family !== 0 && Number(bits) <= (family === 4 ? 32 : 128);
}

function* keys({ gateway: { auth } }: Config): Generator<Fault> {
  const at = (index: number, field: string): Path => ['gateway', 'auth', 'keys', index, field];
  yield* repeated(
    auth.keys.map(({ id }) => id),
    (index) => at(index, 'id'),
  );
  yield* repeated(
    auth.keys.map(({ prefix }) => prefix),
    (index) => at(index, 'prefix'),
  );
  for (const [index, key] of auth.keys.entries()) {
    for (const field of ['expires_at', 'revoked_at'] as const) {
      const time = key[field];
      if (time !== undefined && Number.isNaN(Date.parse(time))) {
        yield { path: at(index, field), message: 'is not a time' };
      }
    }
    for (const [place, network] of (key.ip_allow ?? []).entries()) {
      if (!isNetwork(network))
        yield { path: [...at(index, 'ip_allow'), place], message: 'is not an address or a network' };
    }
  }
  if (auth.keys.length > 0 && auth.pepper.current === undefined) {
    yield { path: ['gateway', 'auth', 'pepper', 'current'], message: 'is required when there are keys' };
  }
}

function* tenants({ gateway: { tenants: list } }: Config): Generator<Fault> {
  yield* repeated(
    list.map(({ id }) => id),
    (index) => ['gateway', 'tenants', index, 'id'],
  );
  for (const [index, tenant] of list.entries()) {
    for (const alias of Object.keys(tenant.aliases ?? {})) {
      if (!BUILT_IN_POLICIES.has(alias)) continue;
      yield { path: ['gateway', 'tenants', index, 'aliases', alias], message: 'is the id of a policy', isKey: true };
    }
  }
}

function* webhooks({ gateway: { webhooks: list } }: Config): Generator<Fault> {
  yield* repeated(
    list.map(({ tenant, id }) => `${tenant} ${id}`),
    (index) => ['gateway', 'webhooks', index, 'id'],
  );
  for (const [index, { url }] of list.entries()) {
    const address = URL.parse(url);
    const message =
      address === null
        ? 'is not an address'
        : address.username + address.password === ''
          ? undefined
          : 'carries a credential';
    if (message !== undefined) yield { path: ['gateway', 'webhooks', index, 'url'], message };
  }
}

function* spans({ frames, gateway: { shutdown } }: Config): Generator<Fault> {
  if (frames.silence_ms <= frames.heartbeat_ms) {
    yield { path: ['frames', 'silence_ms'], message: 'must be longer than frames.heartbeat_ms' };
  }
  if (shutdown.lame_duck_ms >= shutdown.timeout_ms) {
    yield {
      path: ['gateway', 'shutdown', 'lame_duck_ms'],
      message: 'must be shorter than gateway.shutdown.timeout_ms',
    };
  }
}

function* policies(config: Config): Generator<Fault> {
  const { dir } = config.policy;
  if (policySourceOf(config) !== 'files' && dir !== undefined) {
    yield { path: ['policy', 'dir'], message: 'has a meaning with policy.source files only', isKey: true };
  }
}

const RULES: readonly Rule[] = [providers, keys, tenants, webhooks, policies, spans, heirFaults];

/** Every fault between settings that are valid one by one. */
export const brokenRules = (config: Config): Fault[] => RULES.flatMap((rule) => Array.from(rule(config)));
