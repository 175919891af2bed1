// Where the HTTP policy store is: policies and a credential travel there, so plain http stays on this machine.
import type { Config } from './schema.ts';
import type { Fault } from './settle.ts';

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** The address, without a slash at its end. The settings must be valid. */
export function heirAddress(config: Config): string {
  const { heir_policy_store_url: url, heir_policy_store_host: host, heir_policy_store_port: port } = config;
  if (url !== undefined) return url.replace(/\/+$/, '');
  const name = host.includes(':') ? `[${host}]` : host;
  return `${LOOPBACK.test(name) && !hasTlsFiles(config) ? 'http' : 'https'}://${name}:${port}`;
}

/** What is wrong between the settings of the store. */
export function* heirFaults(config: Config): Generator<Fault> {
  const { heir_policy_store_url: url, heir_policy_store_cert: cert, heir_policy_store_key: key } = config;
  if (config.heir_policy_store_enabled && config.policy.source === 'kv') {
    yield { path: ['policy', 'source'], message: 'must be heir, or heir_policy_store_enabled false' };
  }
  const path = [url === undefined ? 'heir_policy_store_host' : 'heir_policy_store_url'];
  const address = heirAddress(config);
  const parsed = URL.canParse(address) ? new URL(address) : undefined;
  if (parsed === undefined) yield { path, message: 'is not an address' };
  else if (parsed.protocol === 'http:') {
    if (!LOOPBACK.test(parsed.hostname)) yield { path, message: 'must be https, except for a loopback address' };
    else if (hasTlsFiles(config)) yield { path, message: 'must be https where there are certificates' };
  }
  if ((cert === undefined) !== (key === undefined)) {
    const missing = cert === undefined ? 'heir_policy_store_cert' : 'heir_policy_store_key';
    yield { path: [missing], message: 'is required: a client certificate and its key come together' };
  }
}

const hasTlsFiles = ({ heir_policy_store_ca: ca, heir_policy_store_cert: cert }: Config): boolean =>
  ca !== undefined || cert !== undefined;
