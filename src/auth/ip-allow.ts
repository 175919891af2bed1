// The addresses from which a key may be used (gateway 4.1).
import { BlockList, isIPv6 } from 'node:net';

export type AllowsAddress = (address: string) => boolean;

/** Of addresses and networks in CIDR notation; throws for anything else. */
export function openIpAllow(entries: readonly string[]): AllowsAddress {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (address) => list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
