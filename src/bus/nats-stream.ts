// Streams and durable consumers of a NATS server, with settings that a 2.9 server understands.
import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  jetstream,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import { nanos, type NatsConnection } from '@nats-io/transport-node';
import { DUPLICATE_WINDOW_MS } from '../contracts/limits.ts';
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import { BeamlineError } from '../core/errors.ts';
import type { NatsLink } from './nats-link.ts';
import { copiesAgain, copiesOn, type Replicas } from './nats-replicas.ts';

const API_MS = 5_000;
const STREAM_EXISTS = 10_058;
/** Codes that say that there is no room: repeating soon does not help. */
export const FULL = new Set([10_023, 10_047, 10_077]);
/** An id that a publish under way has taken. */
const IN_PROCESS = 10_158;

/** Whether what the server says is its own trouble, which may be over soon: no leader, not ready, offline. */
export const isServersTrouble = (status: number, code: number): boolean => status >= 500 || code === IN_PROCESS;

/**
 * A 2.9 server counts a message without its framing when it looks for room, so near `max_bytes` it may drop the oldest
 * one instead of refusing the new one. The count is exact: it comes first while messages are no larger than this.
 */
const MESSAGE_BYTES_USUAL = 1_024;

const configOf = (spec: StreamSpec, copies: number): Partial<StreamConfig> & { name: string } => ({
  name: spec.name,
  subjects: [spec.subject],
  retention: spec.retention === 'workqueue' ? RetentionPolicy.Workqueue : RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.New,
  max_bytes: spec.bytesMax,
  max_msgs: Math.ceil(spec.bytesMax / MESSAGE_BYTES_USUAL),
  max_age: nanos(spec.ageMsMax),
  duplicate_window: nanos(spec.ageMsMax > 0 ? Math.min(DUPLICATE_WINDOW_MS, spec.ageMsMax) : DUPLICATE_WINDOW_MS),
  allow_direct: true,
  num_replicas: copies,
});

export const managerOf = (nc: NatsConnection): Promise<JetStreamManager> =>
  jetstreamManager(nc, { checkAPI: false, timeout: API_MS });

/** Makes the stream, or gives an existing one these settings; throws `unavailable`. */
export async function ensureStream(nc: NatsConnection, spec: StreamSpec, replicas: Replicas): Promise<void> {
  try {
    const { streams } = await managerOf(nc);
    await streams.add(configOf(spec, copiesOn(nc, replicas))).catch(async (fault: unknown) => {
      if (!(fault instanceof JetStreamApiError) || fault.code !== STREAM_EXISTS) throw fault;
      const { config } = await streams.info(spec.name);
      await streams.update(spec.name, configOf(spec, copiesAgain(nc, replicas, config.num_replicas)));
    });
  } catch (cause) {
    throw storeFault(cause);
  }
}

/** The durable consumer, made if it is not there. */
export async function openConsumer(nc: NatsConnection, stream: StreamSpec, spec: ConsumerSpec) {
  const { consumers } = await managerOf(nc);
  await consumers.add(stream.name, {
    durable_name: spec.durable,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    max_deliver: -1,
    ack_wait: nanos(spec.ackWaitMs),
    max_ack_pending: spec.ackPendingMax,
  });
  return jetstream(nc, { timeout: API_MS }).consumers.get(stream.name, spec.durable);
}

/** What went wrong in the server's store, as a code: `precondition_failed` is not among them. */
export function storeFault(cause: unknown): BeamlineError {
  if (cause instanceof BeamlineError) return cause;
  if (!(cause instanceof JetStreamApiError))
    return new BeamlineError('unavailable', 'the store does not answer', { cause });
  if (FULL.has(cause.code)) return storeFull();
  if (isServersTrouble(cause.status, cause.code))
    return new BeamlineError('unavailable', 'the store is not ready', { cause });
  return new BeamlineError('internal', 'the store refused', {
    cause,
    details: { store_code: cause.code },
  });
}

export const storeFull = (): BeamlineError =>
  new BeamlineError('unavailable', 'the store is full', { details: { reason: 'stream_full' } });

/** The streams that a process wants, made with every connection anew: a server may come back without them. */
export class NatsStreams {
  readonly #link: NatsLink;
  readonly #replicas: Replicas;
  readonly #wanted = new Map<string, StreamSpec>();

  constructor(link: NatsLink, replicas: Replicas) {
    this.#link = link;
    this.#replicas = replicas;
    link.eachConnection((nc) => {
      for (const spec of this.#wanted.values()) void this.#make(nc, spec, () => undefined);
    });
  }

  /** Resolves after the first attempt. */
  ensure(spec: StreamSpec): Promise<void> {
    this.#wanted.set(spec.name, spec);
    const { nc } = this.#link;
    return nc === undefined ? Promise.resolve() : new Promise((resolve) => void this.#make(nc, spec, resolve));
  }

  async #make(nc: NatsConnection, spec: StreamSpec, tried: () => void): Promise<void> {
    for (let failures = 0; this.#link.nc === nc; failures++) {
      try {
        // eslint-disable-next-line no-await-in-loop -- tries come one after the other
        await ensureStream(nc, spec, this.#replicas);
        return tried();
      } catch (fault) {
        if (failures === 0) this.#link.log.warn('bus_stream_failed', { source: spec.name, fault });
      }
      tried();
      // eslint-disable-next-line no-await-in-loop -- as above
      await this.#link.backOff(failures);
    }
    tried();
  }
}
