// Publishing into a stream until the server confirms it, through the one reply inbox of the process.
// A1. One message id from the first try to the last, so a repeated publish is stored once.
// A2. "No responders", "JetStream is not enabled", a lost connection and silence are temporary: a failover looks like
//     them. A full stream is not: whoever publishes must keep the message.
// A3. Only a sequence is a confirmation. A leader that lost its majority knows ids of messages that never were stored, and
//     answers `duplicate` without one until its window is over.
import type { Msg } from '@nats-io/transport-node';
import { BeamlineError } from '../core/errors.ts';
import type { PubAck, Urgency } from './bus.ts';
import type { WrittenHeaders } from './nats-headers.ts';
import type { NatsLink } from './nats-link.ts';
import type { NatsRequests } from './nats-requests.ts';
import { FULL, isServersTrouble, storeFull } from './nats-stream.ts';

const TRY_MS = 2_000;
const WRONG_REVISION = new Set([10_071, 10_164]);

export interface Append {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly headers: WrittenHeaders | undefined;
  readonly timeoutMs: number;
  readonly urgency: Urgency | undefined;
}

/** Publishes until the server confirms it or the time is over; then throws `unavailable`. */
export async function append(message: Append, requests: NatsRequests, link: NatsLink): Promise<PubAck> {
  const { clock } = link.timers;
  const untilMs = clock.nowMs() + message.timeoutMs;
  for (let tries = 0; ; tries++) {
    const leftMs = untilMs - clock.nowMs();
    try {
      // eslint-disable-next-line no-await-in-loop -- tries come one after the other
      return await requests.call({
        ...message,
        timeoutMs: Math.min(TRY_MS, leftMs),
        read: readPubAck,
      });
    } catch (thrown) {
      const fault = BeamlineError.from(thrown);
      if (!isTemporary(fault)) throw fault;
      if (link.isClosing || clock.nowMs() >= untilMs) throw notConfirmed(fault);
    }
    // eslint-disable-next-line no-await-in-loop -- as above
    await link.backOff(tries);
    if (clock.nowMs() >= untilMs) throw notConfirmed(undefined);
  }
}

const isTemporary = ({ code, details }: BeamlineError): boolean =>
  code === 'timeout' || (code === 'unavailable' && details['reason'] !== 'stream_full');

const notConfirmed = (cause: BeamlineError | undefined): BeamlineError =>
  new BeamlineError('unavailable', 'the store did not confirm the message', {
    cause,
    details: { reason: 'not_confirmed' },
  });

interface WirePubAck {
  readonly stream?: string;
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly error?: {
    readonly code: number;
    readonly err_code?: number;
    readonly description?: string;
  };
}

/** Of a publish into a stream or a bucket; throws `precondition_failed` for an entry of another revision. */
export function readPubAck(msg: Msg): PubAck {
  const { stream, seq, duplicate = false, error } = JSON.parse(msg.string()) as WirePubAck;
  if (error !== undefined) {
    if (FULL.has(error.err_code ?? 0)) throw storeFull();
    if (WRONG_REVISION.has(error.err_code ?? 0)) {
      throw new BeamlineError('precondition_failed', 'the entry has another revision');
    }
    const details = { store_code: error.err_code ?? error.code };
    const code = isServersTrouble(error.code, error.err_code ?? 0) ? 'unavailable' : 'internal';
    throw new BeamlineError(code, error.description ?? 'the store refused', { details });
  }
  if (typeof stream !== 'string' || typeof seq !== 'number') throw new BeamlineError('invalid_reply', 'not a PubAck');
  if (seq < 1) throw new BeamlineError('unavailable', 'the id is known and the message is not stored');
  return { stream, seq, duplicate };
}
