// What an operator opens beyond the public network: `egress.allow` (worker 12, 16).
// A host, with or without a port, opens plain http, its port and its local addresses; a range opens its addresses alone;
// a port opens itself on every host that may be called.
import { BeamlineError } from '../core/errors.ts';
import {
  addressBytes,
  type AddressRange,
  deniedRange,
  isInRange,
  opensByName,
  parseRange,
} from './egress-addresses.ts';

interface AllowedHost {
  readonly host: string;
  /** Absent: the ports that are open everywhere. */
  readonly port: number | undefined;
}

interface AllowedRange {
  readonly range: AddressRange;
  /** Absent: every port that the address of the request may name. */
  readonly port: number | undefined;
}

export interface EgressAllow {
  readonly hosts: readonly AllowedHost[];
  readonly ranges: readonly AllowedRange[];
  readonly ports: ReadonlySet<number>;
}

export interface EgressEndpoint {
  /** A name without a closing dot, or an address without brackets; lower case. */
  readonly hostname: string;
  readonly port: number;
}

const OPEN_PORTS: readonly number[] = [443, 80];

/** Throws `validation_failed` with the entry's number for one that is neither a host, a port nor a range. */
export function parseEgressAllow(entries: readonly string[]): EgressAllow {
  const hosts: AllowedHost[] = [];
  const ranges: AllowedRange[] = [];
  const ports = new Set(OPEN_PORTS);
  for (const [index, entry] of entries.entries()) {
    const bare = /^\d{1,5}$/.test(entry) ? Number(entry) : undefined;
    const range = parseRange(entry);
    const host = bare === undefined && range === undefined ? parseHost(entry) : undefined;
    if (bare !== undefined && bare > 0 && bare < 65_536) ports.add(bare);
    else if (range !== undefined) ranges.push({ range, port: undefined });
    else if (host === undefined) throw refused(index);
    else if (host.range !== undefined) ranges.push({ range: host.range, port: host.port });
    else hosts.push({ host: host.host, port: host.port });
  }
  return { hosts, ranges, ports };
}

/** Whether the operator named this very destination: its host, or its address where it is one. */
export const isListed = (allow: EgressAllow, at: EgressEndpoint): boolean =>
  isListedName(allow, at) || isListedAddress(allow, at.hostname, at.port);

/** Whether the port may be called, at this host. */
export const isOpenPort = (allow: EgressAllow, { hostname, port }: EgressEndpoint): boolean =>
  allow.ports.has(port) ||
  allow.hosts.some((entry) => entry.host === hostname && entry.port === port) ||
  allow.ranges.some((entry) => entry.port === port && holds(entry, hostname, port));

export const isListedName = (allow: EgressAllow, { hostname, port }: EgressEndpoint): boolean =>
  allow.hosts.some((entry) => entry.host === hostname && (entry.port === undefined || entry.port === port));

/** Why an address that stands for the endpoint may not be called; undefined: it may. */
export function addressRefusal(allow: EgressAllow, at: EgressEndpoint, address: string): string | undefined {
  const range = deniedRange(address);
  if (range === undefined || isListedAddress(allow, address, at.port)) return undefined;
  return opensByName(range) && isListedName(allow, at) ? undefined : range;
}

const isListedAddress = (allow: EgressAllow, address: string, port: number): boolean =>
  allow.ranges.some((entry) => holds(entry, address, port));

function holds(entry: AllowedRange, address: string, port: number): boolean {
  const bytes = entry.port === undefined || entry.port === port ? addressBytes(address) : undefined;
  return bytes !== undefined && isInRange(bytes, entry.range);
}

interface ReadHost extends AllowedHost {
  /** Where the host is an address. */
  readonly range: AddressRange | undefined;
}

/** By the rules that addresses of requests are read by, so that both are written alike. */
function parseHost(entry: string): ReadHost | undefined {
  const found = /^(?<host>\[[0-9A-Fa-f:.]+\]|[^\s:/?#@[\]\\]+)(?::(?<port>\d{1,5}))?$/.exec(entry)?.groups;
  const text = `http://${found?.['host']}`;
  if (found === undefined || !URL.canParse(text)) return undefined;
  const hostname = plainHost(new URL(text).hostname);
  const port = found['port'] === undefined ? undefined : Number(found['port']);
  if (hostname === '' || (port !== undefined && (port < 1 || port > 65_535))) return undefined;
  return { host: hostname, port, range: parseRange(hostname) };
}

/** A host as WHATWG URLs write it, without brackets and without the dot of the root. */
export const plainHost = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');

const refused = (index: number): BeamlineError =>
  new BeamlineError('validation_failed', `egress.allow[${index}] is neither a host, a port nor a range of addresses`, {
    details: { reason: 'configuration' },
  });
