// Opens the sockets of requests whose address came from outside (worker 12).
// E1. A name is resolved once; every address that it has is judged, and only those are connected to: an answer that
// changes afterwards changes nothing.
// E2. An address in the place of a name is judged here as well: no resolver is asked about one.
// E3. The address that the socket says it reached is judged again before a byte is written.
import { lookup as resolveName } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { buildConnector } from 'undici';
import buildSocket from 'undici/lib/core/connect.js';
import type { Timers } from '../core/timers.ts';
import { addressBytes } from './egress-addresses.ts';
import { addressRefusal, type EgressAllow, type EgressEndpoint, isListed, plainHost } from './egress-allow.ts';

/** All addresses of a name, as texts. */
export type Resolve = (hostname: string) => Promise<readonly string[]>;

export interface EgressConnectorOptions {
  readonly allow: EgressAllow;
  readonly timers: Timers;
  /** Milliseconds to resolve the name, and again to connect. */
  readonly connectMs: number;
  readonly resolve?: Resolve;
  /** The addresses of this machine, which nobody outside may have called from inside. */
  readonly ownAddresses?: () => readonly string[];
  /** Opens a socket to one of the addresses that its `lookup` gives; absent: the HTTP client's own way. */
  readonly openSocket?: (lookup: LookupFunction) => buildConnector.connector;
}

/** A destination that may not be called; `reason` is the range of its address, `own` or `pinned`. */
export class EgressDenied extends Error {
  override readonly name = 'EgressDenied';
  readonly code = 'EGRESS_DENIED';
  readonly reason: string;

  constructor(reason: string) {
    super('the destination may not be called');
    this.reason = reason;
  }
}

/** More addresses than any honest name has. */
const ADDRESSES_MAX = 64;
const PORTS: Readonly<Record<string, number>> = { 'https:': 443, 'http:': 80 };

const systemResolve: Resolve = async (hostname) => {
  const found = await resolveName(hostname, { all: true });
  return found.map(({ address }) => address);
};

const machineAddresses = (): readonly string[] =>
  Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));

/** A connector for the HTTP client; it fails with `EgressDenied`, or with the fault of the system. */
export function egressConnector(options: EgressConnectorOptions): buildConnector.connector {
  return (wanted, callback) => void answer(options, wanted, callback);
}

async function answer(
  options: EgressConnectorOptions,
  wanted: buildConnector.Options,
  callback: buildConnector.Callback,
): Promise<void> {
  let socket: Socket;
  try {
    socket = await open(options, wanted);
  } catch (fault) {
    callback(fault instanceof Error ? fault : new Error('not connected'), null);
    return;
  }
  callback(null, socket);
}

type Socket = NonNullable<Parameters<buildConnector.Callback>[1]>;

async function open(options: EgressConnectorOptions, wanted: buildConnector.Options): Promise<Socket> {
  const port = wanted.port === '' ? (PORTS[wanted.protocol] ?? 0) : Number(wanted.port);
  const endpoint: EgressEndpoint = { hostname: plainHost(wanted.hostname), port };
  const addresses = await addressesOf(options, endpoint);
  for (const address of addresses) judge(options, endpoint, address);
  const socket = await connect(options, wanted, addresses);
  try {
    judgePeer(options, endpoint, addresses, socket.remoteAddress);
  } catch (fault) {
    socket.destroy();
    throw fault;
  }
  return socket;
}

async function addressesOf(options: EgressConnectorOptions, { hostname }: EgressEndpoint): Promise<readonly string[]> {
  if (addressBytes(hostname) !== undefined) return [hostname];
  const { resolve = systemResolve, timers, connectMs } = options;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = timers.after(connectMs, () => reject(faultOf('ETIMEDOUT')));
  try {
    const found = await Promise.race([resolve(hostname), late]);
    if (found.length === 0) throw faultOf('ENOTFOUND');
    if (found.length > ADDRESSES_MAX) throw new EgressDenied('too_many_addresses');
    return found;
  } finally {
    timer.cancel();
  }
}

/** Throws `EgressDenied` for an address that may not stand for the endpoint. */
function judge(
  { allow, ownAddresses = machineAddresses }: EgressConnectorOptions,
  at: EgressEndpoint,
  address: string,
): void {
  const refusal = addressRefusal(allow, at, address);
  if (refusal !== undefined) throw new EgressDenied(refusal);
  const isOwn = ownAddresses().some((own) => isSame(own, address));
  if (isOwn && !isListed(allow, at) && !isListed(allow, { hostname: address, port: at.port })) {
    throw new EgressDenied('own');
  }
}

function judgePeer(
  options: EgressConnectorOptions,
  at: EgressEndpoint,
  checked: readonly string[],
  peer: string | undefined,
): void {
  if (peer === undefined || !checked.some((address) => isSame(address, peer))) throw new EgressDenied('pinned');
  judge(options, at, peer);
}

function connect(
  { connectMs, openSocket = (pinned) => socketOpener(pinned, connectMs) }: EgressConnectorOptions,
  wanted: buildConnector.Options,
  addresses: readonly string[],
): Promise<Socket> {
  const list = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  const pinned: LookupFunction = (_hostname, { all }, callback) => {
    const [first] = list;
    if (all === true || first === undefined) callback(null, list);
    else callback(null, first.address, first.family);
  };
  return new Promise((resolve, reject) => {
    openSocket(pinned)(wanted, (fault, socket) => (fault === null ? resolve(socket) : reject(fault)));
  });
}

const socketOpener = (lookup: LookupFunction, timeout: number): buildConnector.connector =>
  buildSocket({ allowH2: false, maxCachedSessions: 0, timeout, lookup });

function isSame(one: string, other: string): boolean {
  const [left, right] = [addressBytes(one), addressBytes(other)];
  return (
    left !== undefined &&
    right !== undefined &&
    left.length === right.length &&
    left.every((byte, i) => byte === right[i])
  );
}

const faultOf = (code: string): Error => Object.assign(new Error(code), { code });
