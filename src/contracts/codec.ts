// A message as bytes: one UTF-8 JSON object. Size and depth are checked before parsing, the schema after it;
// an invalid message neither leaves nor enters.
import { isUtf8 } from 'node:buffer';
import { BeamlineError } from '../core/errors.ts';
import { isShallow, nestsAtMost } from '../core/json-guard.ts';
import type { Payload } from './contract.ts';
import { JSON_DEPTH_MAX, MESSAGE_BYTES_MAX } from './limits.ts';

/**
 * Throws `internal`: a message that our own code made must fit its contract; `payload_too_large` for JSON of others in it
 * that is nested deeper than a reader takes.
 */
export function assertValid<T>(payload: Payload<T>, message: T): void {
  if (!payload.check(message)) {
    throw new BeamlineError(
      'internal',
      `${payload.id}@${payload.version} would leave invalid: ${payload.fault(message)}`,
    );
  }
  const foreign = payload.foreign?.(message);
  if (foreign !== undefined && !nestsAtMost(foreign, JSON_DEPTH_MAX - 1)) {
    throw new BeamlineError('payload_too_large', `a message is nested ${JSON_DEPTH_MAX} levels at most`, {
      details: { reason: 'depth' },
    });
  }
}

/** Throws `payload_too_large` above `MESSAGE_BYTES_MAX` and as `assertValid` does, `internal` for an invalid message. */
export function encode<T>(payload: Payload<T>, message: T): Uint8Array {
  assertValid(payload, message);
  const bytes = Buffer.from(JSON.stringify(message), 'utf8');
  if (bytes.length > MESSAGE_BYTES_MAX) {
    throw new BeamlineError('payload_too_large', `a message holds at most ${MESSAGE_BYTES_MAX} bytes`, {
      details: { bytes: bytes.length },
    });
  }
  return bytes;
}

/** Throws `invalid_request` with the reason in `details`; a reader of replies turns that into `invalid_reply`. */
export function decode<T>(payload: Payload<T>, bytes: Uint8Array): T {
  const value = parse(bytes);
  if (payload.check(value)) return value;
  throw unreadable('schema', payload.fault(value));
}

/** A record as it stands in a bucket; undefined for a text that is none of its kind: a bucket may be anybody's. */
export function readRecord<T>(payload: Payload<T>, text: string): T | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return payload.check(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function parse(bytes: Uint8Array): unknown {
  if (bytes.length > MESSAGE_BYTES_MAX) throw unreadable('size', `over ${MESSAGE_BYTES_MAX} bytes`);
  if (!isUtf8(bytes)) throw unreadable('invalid_utf8', 'not UTF-8');
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  if (!isShallow(text, JSON_DEPTH_MAX)) throw unreadable('depth', `nested deeper than ${JSON_DEPTH_MAX}`);
  try {
    return JSON.parse(text);
  } catch {
    throw unreadable('syntax', 'not JSON');
  }
}

/** Why bytes are no message. */
export type UnreadableReason = 'size' | 'invalid_utf8' | 'depth' | 'syntax' | 'schema';

const unreadable = (reason: UnreadableReason, message: string): BeamlineError =>
  new BeamlineError('invalid_request', message, { details: { reason } });
