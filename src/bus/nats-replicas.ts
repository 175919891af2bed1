// How many copies of its streams and buckets a server is asked for.
import type { NatsConnection } from '@nats-io/transport-node';

/** Copies that outlive the loss of one server. */
const SAFE = 3;

/** A number of copies; 0: as many as are safe where the server is. */
export type Replicas = number;

/**
 * Three in a cluster of three or more servers, as far as this one tells of them now, else one. A server with several
 * addresses tells of each, so a cluster of two may look larger: then the number must be set.
 */
export function copiesOn({ info }: NatsConnection, replicas: Replicas): number {
  if (replicas > 0) return replicas;
  return new Set(info?.connect_urls).size >= SAFE ? SAFE : 1;
}

/** The copies of something that is there already: what nobody set is never made less, as after the loss of a server. */
export const copiesAgain = (nc: NatsConnection, replicas: Replicas, are: number): number =>
  replicas > 0 ? replicas : Math.max(are, copiesOn(nc, replicas));
