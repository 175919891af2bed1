// What is given up goes, whole and once, to the stream of dead letters (contracts 4.11, 7); every role can do it.
// D1. One message id for one message of a stream, so giving it up twice stores it once.
// D2. A letter that was not confirmed throws: then the message is delivered again, and nothing is lost.
// D3. No credential is kept: an `authorization` header is masked. The body is kept as it came.
// D4. Where there is a file for it, a letter that the bus refuses waits there, and is as good as stored.
import { createHash } from 'node:crypto';
import { at } from '../contracts/contract.ts';
import { type DeadLetterClass, deadLetter, type DlqEnvelope } from '../contracts/dead-letter.ts';
import { MESSAGE_BYTES_MAX, TEXT_CHARS_MAX } from '../contracts/limits.ts';
import { type ConsumerSpec, deadLetterStream, type StreamSpec } from '../contracts/streams.ts';
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { redactText } from '../core/redact.ts';
import type { Counter, Family } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Bus, PubAck, Undeliverable } from './bus.ts';

const CONFIRM_MS = 20_000;
const MASK = '***';
/** Base 64 makes four bytes of three; the rest of the envelope needs room as well. */
const BODY_BYTES_MAX = Math.floor(((MESSAGE_BYTES_MAX - 40_000) * 3) / 4);
const ID = /^[\x21-\x7e]{1,128}$/;
const HEADER_VALUE = /^[\x21-\x7e]+$/;

/** Why a message is given up; for one that a bus refused it follows from the refusal. */
export interface GivenUp {
  readonly class: DeadLetterClass;
  /** An intake or execution code. */
  readonly code: string;
  /** Redacted here. */
  readonly message: string;
  /** Whether a replay may succeed without force. */
  readonly retryable: boolean;
}

export interface GivenMessage extends Pick<Undeliverable, 'subject' | 'headers' | 'body'> {
  /** Undefined for a message that no stream holds. */
  readonly stored?: Pick<Undeliverable, 'seq' | 'storedAtMs' | 'count'> & {
    readonly stream: string;
    readonly limit: number;
  };
}

/** The envelope of a message; ids are told as far as the body can be read. */
export function deadLetterOf(
  { subject, headers, body, stored }: GivenMessage,
  why: GivenUp,
  by: { readonly producer: string; readonly nowMs: number },
): DlqEnvelope {
  const digest = createHash('sha256').update(body).digest('hex');
  const kept = body.subarray(0, BODY_BYTES_MAX);
  const envelope: DlqEnvelope = {
    version: '2',
    msg_id: stored === undefined ? `dlq:${subject}:${digest}` : `dlq:${stored.stream}:${stored.seq}`,
    original_subject: subject,
    producer: by.producer,
    error: { ...why, message: redactText(why.message).slice(0, TEXT_CHARS_MAX) },
    delivery: {
      count: stored?.count ?? 1,
      limit: stored?.limit ?? 0,
      first_seen_ms: stored?.storedAtMs ?? by.nowMs,
      last_seen_ms: by.nowMs,
    },
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, name.toLowerCase() === 'authorization' ? MASK : value]),
    ),
    payload: Buffer.from(kept.buffer, kept.byteOffset, kept.byteLength).toString('base64'),
    payload_encoding: 'base64',
    payload_bytes: body.byteLength,
    payload_sha256: digest,
  };
  if (kept.byteLength < body.byteLength) envelope.payload_truncated = true;
  const messageId = headerIn(headers, 'nats-msg-id');
  if (messageId !== undefined && messageId.length <= 512) envelope.original_msg_id = messageId;
  return Object.assign(envelope, idsIn(body, headers));
}

/** Where letters wait that the bus refuses. */
export interface LetterSpill {
  /** Resolves when the line is on the disk; throws where there is no room. */
  append(line: string): Promise<void>;
}

export interface DeadLettersDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** `module@process_id`. */
  readonly producer: string;
  /** For example `router_dead_letters_total`; its label tells why. */
  readonly metric: { readonly name: string; readonly label: 'class' | 'reason' };
  /** Absent: what the bus refuses is delivered again. */
  readonly spill?: LetterSpill | undefined;
}

export class DeadLetters {
  readonly #deps: DeadLettersDeps;
  readonly #given: Family<Counter>;

  constructor(deps: DeadLettersDeps) {
    this.#deps = deps;
    this.#given = deps.telemetry.metrics.counter({
      name: deps.metric.name,
      help: 'Messages that were given up, by why.',
      labels: [deps.metric.label],
    });
  }

  /** Makes the stream exist. */
  open(): Promise<void> {
    return this.#deps.bus.ensureStream(deadLetterStream);
  }

  /** What a consumer hands over that cannot be delivered; throws `unavailable` unless the letter is stored. */
  give(
    undeliverable: Undeliverable,
    from: { readonly stream: StreamSpec; readonly consumer: ConsumerSpec },
    why: GivenUp = whyOf(undeliverable),
  ): Promise<void> {
    const { seq, storedAtMs, count } = undeliverable;
    const stored = { seq, storedAtMs, count, stream: from.stream.name, limit: from.consumer.deliveryLimit ?? 0 };
    return this.giveMessage({ ...undeliverable, stored }, why);
  }

  /** The same for a message that no consumer has. */
  async giveMessage(message: GivenMessage, why: GivenUp): Promise<void> {
    const { bus, clock, telemetry, producer, spill } = this.#deps;
    const letter = deadLetterOf(message, why, { producer, nowMs: clock.epochMs() });
    try {
      if ((await sendLetter(bus, letter)).duplicate) return;
    } catch (fault) {
      if (spill === undefined || !isRefusal(fault)) throw fault;
      await spill.append(JSON.stringify(letter));
      telemetry.log.warn('letter_spilled', { source: letter.original_subject, fault });
    }
    this.#given.of(why.class).add();
    telemetry.log.warn('message_given_up', {
      source: letter.original_subject,
      code: why.code,
      error_class: why.class,
      ...(letter.tenant_id === undefined ? {} : { tenant_id: letter.tenant_id }),
      ...(letter.assignment_id === undefined ? {} : { assignment_id: letter.assignment_id }),
    });
  }
}

export function sendLetter(bus: Bus, letter: DlqEnvelope): Promise<PubAck> {
  const { tenant_id: tenantId = '-', trace_id: traceId = '-' } = letter;
  return bus.append(at(deadLetter), letter, {
    messageId: letter.msg_id,
    timeoutMs: CONFIRM_MS,
    correlation: { tenantId, traceId },
    headers: letterHeaders(letter),
  });
}

/** The stream is full, or away: another time it may be taken. */
const isRefusal = (fault: unknown): boolean =>
  fault instanceof BeamlineError && (fault.code === 'unavailable' || fault.code === 'timeout');

/** What an envelope carries beside the headers of every dead letter. */
export function letterHeaders(letter: DlqEnvelope): Readonly<Record<string, string>> {
  const { original_msg_id: messageId, request_id, assignment_id, delivery } = letter;
  return {
    x_dlq_reason: letter.error.class,
    x_original_subject: letter.original_subject,
    x_first_seen_ms: String(delivery.first_seen_ms),
    x_last_seen_ms: String(delivery.last_seen_ms),
    ...(messageId !== undefined && HEADER_VALUE.test(messageId) ? { x_original_msg_id: messageId } : {}),
    ...(request_id === undefined ? {} : { x_request_id: request_id }),
    ...(assignment_id === undefined ? {} : { x_assignment_id: assignment_id }),
  };
}

function whyOf({ reason, count, fault }: Undeliverable): GivenUp {
  if (reason === 'exhausted') {
    const message = `delivered ${count} times without an end`;
    return { class: 'exhausted', code: 'DELIVERY_EXHAUSTED', message, retryable: true };
  }
  const { details, message } = fault ?? new BeamlineError('invalid_request', 'unreadable');
  const isSchema = details['reason'] === 'schema';
  return {
    class: 'validation',
    code: isSchema ? 'SCHEMA_VALIDATION_FAILED' : 'PARSE_ERROR',
    message,
    retryable: false,
  };
}

const headerIn = (headers: Readonly<Record<string, string>>, wanted: string): string | undefined =>
  Object.entries(headers).find(([name]) => name.toLowerCase() === wanted)?.[1];

const IDS = ['tenant_id', 'trace_id', 'request_id', 'assignment_id'] as const;

function idsIn(
  body: Uint8Array,
  headers: Readonly<Record<string, string>>,
): Partial<Pick<DlqEnvelope, (typeof IDS)[number]>> {
  const fields = fieldsIn(body);
  const ids: Partial<Record<(typeof IDS)[number], string>> = {};
  for (const name of IDS) {
    // A header wins over the payload (contracts 1.4); `-` stands for none.
    const id = headerIn(headers, name) ?? headerIn(headers, `x_${name}`) ?? fields[name];
    if (typeof id === 'string' && id !== '-' && ID.test(id)) ids[name] = id;
  }
  return ids;
}

function fieldsIn(body: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}
