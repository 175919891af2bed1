// Credentials that blocks may use by their name: whose they are, and the only hosts that they are sent to.
import { plainHost } from '../../provider/egress-allow.ts';
import { BlockFailure } from './block.ts';

export interface BlockSecret {
  readonly name: string;
  readonly tenants: readonly string[];
  /** Hosts, or `host:port`; a secret goes to no other, whatever address the payload names. */
  readonly hosts: readonly string[];
  readonly header: string;
  /** Stands before the value, with a space; empty: nothing does. */
  readonly scheme: string;
  /** The value now; undefined while it is missing. */
  readonly value: () => string | undefined;
}

const REFERENCE = /^secret:([A-Za-z0-9_-]{1,128})$/;

/** The headers that `ref` stands for. Throws `BlockFailure` where the tenant has no such secret, or not for this host. */
export function credentialsOf(
  secrets: readonly BlockSecret[],
  ref: string,
  { tenantId, url }: { readonly tenantId: string; readonly url: string },
): Readonly<Record<string, string>> {
  const [, name] = REFERENCE.exec(ref) ?? [];
  if (name === undefined) throw refused('INVALID_INPUT', 'auth_ref');
  const secret = secrets.find((one) => one.name === name && one.tenants.includes(tenantId));
  if (secret === undefined) throw refused('PERMISSION_DENIED', 'secret');
  const target = URL.parse(url);
  if (target === null) throw refused('INVALID_INPUT', 'invalid_url');
  const hostname = plainHost(target.hostname);
  const withPort = `${hostname}:${target.port === '' ? (target.protocol === 'http:' ? 80 : 443) : target.port}`;
  if (!secret.hosts.some((host) => host === hostname || host === withPort))
    throw refused('PERMISSION_DENIED', 'secret_host');
  const value = secret.value();
  if (value === undefined) throw refused('RESOURCE_UNAVAILABLE', 'secret');
  return { [secret.header.toLowerCase()]: secret.scheme === '' ? value : `${secret.scheme} ${value}` };
}

const refused = (
  code: 'INVALID_INPUT' | 'PERMISSION_DENIED' | 'RESOURCE_UNAVAILABLE',
  detailCode: string,
): BlockFailure => new BlockFailure(code, 'the credential cannot be used here', { detailCode });
