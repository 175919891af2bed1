// Which addresses of the network are nobody's business to call from here (worker 12).
// An IPv6 address that carries an IPv4 address is refused as what it is: no reader of ours unwraps it, so none can
// unwrap it in another way than the machine that connects.
import { isIPv4, isIPv6 } from 'node:net';

/** A block of addresses: the first `bits` of `bytes` are those of every address in it. */
export interface AddressRange {
  readonly bytes: readonly number[];
  readonly bits: number;
}

export type RangeName =
  | 'benchmark'
  | 'broadcast'
  | 'carrier_nat'
  | 'documentation'
  | 'embedded_ipv4'
  | 'link_local'
  | 'loopback'
  | 'metadata'
  | 'multicast'
  | 'private'
  | 'reserved'
  | 'unspecified';

/** Ranges that an operator opens by naming a host in them; the others open by their addresses alone. */
const LOCAL: ReadonlySet<RangeName> = new Set(['carrier_nat', 'loopback', 'private']);

// The special-purpose registries of IANA (RFC 6890); behind each line the RFC that gave the range away.
const DENIED_TEXT: readonly (readonly [cidr: string, name: RangeName])[] = [
  ['0.0.0.0/32', 'unspecified'], // RFC 1122
  ['0.0.0.0/8', 'reserved'], // RFC 791
  ['10.0.0.0/8', 'private'], // RFC 1918
  ['100.64.0.0/10', 'carrier_nat'], // RFC 6598
  ['127.0.0.0/8', 'loopback'], // RFC 1122
  ['168.63.129.16/32', 'metadata'], // public, and yet the host of the machine at one large provider
  ['169.254.0.0/16', 'link_local'], // RFC 3927
  ['172.16.0.0/12', 'private'], // RFC 1918
  ['192.0.0.0/24', 'reserved'], // RFC 6890
  ['192.0.2.0/24', 'documentation'], // RFC 5737
  ['192.88.99.0/24', 'reserved'], // RFC 7526
  ['192.168.0.0/16', 'private'], // RFC 1918
  ['198.18.0.0/15', 'benchmark'], // RFC 2544
  ['198.51.100.0/24', 'documentation'], // RFC 5737
  ['203.0.113.0/24', 'documentation'], // RFC 5737
  ['224.0.0.0/4', 'multicast'], // RFC 5771
  ['255.255.255.255/32', 'broadcast'], // RFC 919
  ['240.0.0.0/4', 'reserved'], // RFC 1112
  ['::/128', 'unspecified'], // RFC 4291
  ['::1/128', 'loopback'], // RFC 4291
  ['::/96', 'embedded_ipv4'], // RFC 4291, compatible
  ['::ffff:0:0/96', 'embedded_ipv4'], // RFC 4291, mapped
  ['::ffff:0:0:0/96', 'embedded_ipv4'], // RFC 2765, translated
  ['64:ff9b::/96', 'embedded_ipv4'], // RFC 6052, NAT64
  ['64:ff9b:1::/48', 'embedded_ipv4'], // RFC 8215, NAT64 of a network
  ['2001::/32', 'embedded_ipv4'], // RFC 4380, Teredo
  ['2001::/23', 'reserved'], // RFC 2928
  ['2001:db8::/32', 'documentation'], // RFC 3849
  ['2002::/16', 'embedded_ipv4'], // RFC 3056, 6to4
  ['3ffe::/16', 'reserved'], // RFC 3701
  ['3fff::/20', 'documentation'], // RFC 9637
  ['fc00::/7', 'private'], // RFC 4193
  ['fe80::/10', 'link_local'], // RFC 4291
  ['fec0::/10', 'private'], // RFC 3879
  ['ff00::/8', 'multicast'], // RFC 4291
];

/** All of IPv6 that is given to anybody (RFC 4291); what lies outside is reserved. */
const GLOBAL_UNICAST: AddressRange = { bytes: [0x20, ...Array<number>(15).fill(0)], bits: 3 };

const DENIED = DENIED_TEXT.map(([cidr, name]) => ({ range: rangeFrom(cidr), name }));

/** The 4 or 16 bytes of an address in its usual form, with or without a zone; undefined for any other text. */
export function addressBytes(text: string): readonly number[] | undefined {
  if (isIPv4(text)) return text.split('.').map(Number);
  return isIPv6(text) ? bytesOfIPv6(text.replace(/%.*$/s, '')) : undefined;
}

/** The range for which an address is denied; undefined: anybody may call it. What is no address is `reserved`. */
export function deniedRange(address: string): RangeName | undefined {
  const bytes = addressBytes(address);
  if (bytes === undefined) return 'reserved';
  const found = DENIED.find(({ range }) => isInRange(bytes, range));
  if (found !== undefined) return found.name;
  return bytes.length === 4 || isInRange(bytes, GLOBAL_UNICAST) ? undefined : 'reserved';
}

/** Whether a host that an operator lists by name may have addresses of this range. */
export const opensByName = (name: RangeName): boolean => LOCAL.has(name);

/** `address/bits`, or one address; undefined when it is neither. Bits behind the prefix do not count. */
export function parseRange(text: string): AddressRange | undefined {
  const [address = '', bits, ...more] = text.split('/');
  const bytes = more.length > 0 || address.includes('%') ? undefined : addressBytes(address);
  if (bytes === undefined) return undefined;
  if (bits === undefined) return { bytes, bits: bytes.length * 8 };
  return /^\d{1,3}$/.test(bits) && Number(bits) <= bytes.length * 8 ? { bytes, bits: Number(bits) } : undefined;
}

/** Whether the address lies in the range; a range of IPv4 holds no IPv6 address, and the other way round. */
export function isInRange(bytes: readonly number[], range: AddressRange): boolean {
  if (bytes.length !== range.bytes.length) return false;
  const whole = range.bits >> 3;
  for (let i = 0; i < whole; i++) if (bytes[i] !== range.bytes[i]) return false;
  const rest = 8 - (range.bits & 7);
  return rest === 8 || (bytes[whole] ?? 0) >> rest === (range.bytes[whole] ?? 0) >> rest;
}

function rangeFrom(text: string): AddressRange {
  const range = parseRange(text);
  if (range === undefined) throw new RangeError(`not a range of addresses: ${text}`);
  return range;
}

/** Only for what `isIPv6` accepts. */
function bytesOfIPv6(text: string): readonly number[] {
  const [left = '', right] = text.split('::');
  const head = bytesOfGroups(left);
  const tail = right === undefined ? [] : bytesOfGroups(right);
  return [...head, ...Array<number>(16 - head.length - tail.length).fill(0), ...tail];
}

function bytesOfGroups(text: string): readonly number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}
