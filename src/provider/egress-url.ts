// Where a request from outside may go, by its address alone (worker 12): read once, by WHATWG's rules, and from then on
// only what was read counts. What the name resolves to is for the connector to judge.
import { addressBytes } from './egress-addresses.ts';
import {
  addressRefusal,
  type EgressAllow,
  type EgressEndpoint,
  isListed,
  isListedName,
  isOpenPort,
  plainHost,
} from './egress-allow.ts';

export type UrlRefusal = 'invalid_url' | 'scheme' | 'userinfo' | 'port' | 'name' | 'address';

export type Destination =
  | { readonly kind: 'allowed'; readonly url: URL; readonly endpoint: EgressEndpoint }
  | { readonly kind: 'denied'; readonly reason: UrlRefusal };

const CHARS_MAX = 8_192;
/** A scheme, two slashes and then a host: nothing that a lenient reader would mend. */
const PLAIN = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/\\?#]/;
/** Spaces, controls and backslashes: a URL that holds one was written for another reader. */
const FOREIGN = /[\s\p{Cc}\p{Cf}\\]/u;
const NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;
const PORTS: Readonly<Record<string, number>> = { 'https:': 443, 'http:': 80 };

/** Names that lead to the machine itself, or to what tells a machine its secrets; their addresses are refused as well. */
const INWARD: ReadonlySet<string> = new Set([
  'localhost',
  'ip6-localhost',
  'ip6-loopback',
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'metadata.azure.internal',
  'metadata.tencentyun.com',
  'metadata.oraclecloud.com',
  'instance-data',
  'instance-data.ec2.internal',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
]);

const denied = (reason: UrlRefusal): Destination => ({ kind: 'denied', reason });

/** Reads and judges an absolute address; `base` is the address that a redirect came from. */
export function checkUrl(text: string, allow: EgressAllow, base?: URL): Destination {
  if (text.length > CHARS_MAX || FOREIGN.test(text) || (base === undefined && !PLAIN.test(text))) {
    return denied('invalid_url');
  }
  const url = URL.parse(text, base?.href) ?? undefined;
  const port = url === undefined ? undefined : PORTS[url.protocol];
  if (url === undefined) return denied('invalid_url');
  if (port === undefined) return denied('scheme');
  if (url.username !== '' || url.password !== '') return denied('userinfo');
  url.hash = '';
  const endpoint: EgressEndpoint = {
    hostname: plainHost(url.hostname),
    port: url.port === '' ? port : Number(url.port),
  };
  const refusal = refusalOf(url, endpoint, allow);
  if (refusal !== undefined) return denied(refusal);
  if (url.hostname.endsWith('.')) url.hostname = endpoint.hostname;
  return { kind: 'allowed', url, endpoint };
}

function refusalOf(url: URL, endpoint: EgressEndpoint, allow: EgressAllow): UrlRefusal | undefined {
  const { hostname } = endpoint;
  const isLiteral = addressBytes(hostname) !== undefined;
  if (!isLiteral && !NAME.test(hostname)) return 'invalid_url';
  if (isLiteral && addressRefusal(allow, endpoint, hostname) !== undefined) return 'address';
  if (!isLiteral && isInward(hostname) && !isListedName(allow, endpoint)) return 'name';
  if (!isOpenPort(allow, endpoint)) return 'port';
  return url.protocol === 'https:' || isListed(allow, endpoint) ? undefined : 'scheme';
}

const isInward = (hostname: string): boolean => INWARD.has(hostname) || hostname.endsWith('.localhost');
