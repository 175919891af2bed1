// A dead letter sent again to where it came from (contracts 7).
// L1. A replay is a message like any other: only a registered event of a stream, only if its contract accepts it.
// L2. It is counted before it is sent, so a crash can cost a replay but never allows one more than the limit.
// L3. Two who replay one letter at once send it once: the count is written under one message id.
import { createHash } from 'node:crypto';
import { decode } from '../contracts/codec.ts';
import { addressIn, at, type EventContract } from '../contracts/contract.ts';
import { deadLetter, type DlqEnvelope } from '../contracts/dead-letter.ts';
import { HEADER_SETS } from '../contracts/headers.ts';
import { CONTRACTS } from '../contracts/registry.ts';
import type { Subject } from '../contracts/subject.ts';
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Bus, PubAck } from './bus.ts';
import { letterHeaders } from './dead-letters.ts';
import { letterAt, type LetterLine, removeLetter } from './letter-box.ts';
import { HEADER_VALUE } from './sent-headers.ts';

/** Of one message, ever. */
export const REPLAYS_MAX = 3;
/** Whoever replays many waits this long between two: 50 in a second. */
export const REPLAY_GAP_MS = 20;
const CONFIRM_MS = 20_000;
/** Written with every message anyway, or the server's own. */
const OWN_HEADERS = /^(?:nats-|(?:x[_-])?(?:trace|tenant|msg)[_-]id$|x[_-]contract[_-]version$|authorization$)/;

export type Replayed =
  /** `count`: which replay of the message it was; `letter_seq`: where the letter is now. */
  | {
      readonly kind: 'replayed';
      readonly subject: string;
      readonly count: number;
      readonly letter_seq: number;
      readonly stored: PubAck;
    }
  | { readonly kind: 'refused'; readonly why: string };

type StreamEvent = EventContract<string, unknown> & { matches(subject: string): subject is Subject };

const STREAM_EVENTS = CONTRACTS.filter((contract) => contract.class === 'jetstream_event') as readonly StreamEvent[];

const refused = (why: string): Replayed => ({ kind: 'refused', why });

interface Ready {
  readonly letter: DlqEnvelope;
  readonly contract: StreamEvent;
  readonly message: unknown;
}

/** Replays the letter at a place of the stream; throws `unavailable`. `isForced` sends also what was given up for good. */
export async function replayLetter(
  { bus, clock }: { readonly bus: Bus; readonly clock: Clock },
  seq: number,
  { isForced }: Forcing,
): Promise<Replayed> {
  const ready = await readyAt(bus, seq, isForced);
  if (typeof ready === 'string') return refused(ready);
  const { letter, contract, message } = ready;
  const count = (letter.replay?.count ?? 0) + 1;
  const counted: DlqEnvelope = { ...letter, replay: { count, last_ms: clock.epochMs() } };
  const correlation = { traceId: letter.trace_id ?? '-', tenantId: letter.tenant_id ?? '-' };
  const written = await bus.append(at(deadLetter), counted, {
    messageId: `dlq-replay:${letter.msg_id}:${count}`,
    timeoutMs: CONFIRM_MS,
    correlation,
    headers: letterHeaders(counted),
  });
  if (written.duplicate) return refused('somebody else replays it now');
  await removeLetter(bus, seq);
  const stored = await bus.append(addressIn(contract, letter.original_subject), message, {
    messageId: `replay:${letter.msg_id}:${count}`,
    timeoutMs: CONFIRM_MS,
    correlation,
    headers: headersAgain(letter, contract, count),
  });
  return { kind: 'replayed', subject: letter.original_subject, count, letter_seq: written.seq, stored };
}

export interface Forcing {
  readonly isForced: boolean;
}

/** Why a replay would be refused; undefined if it would be sent. Throws `unavailable`. */
export async function whyNotReplayed(bus: Bus, seq: number, { isForced }: Forcing): Promise<string | undefined> {
  const ready = await readyAt(bus, seq, isForced);
  return typeof ready === 'string' ? ready : undefined;
}

export interface Paced extends Forcing {
  readonly clock: Clock;
  readonly pause: (ms: number) => Promise<void>;
}

/** One after the other, with a pause between two. Throws `unavailable`: those that follow are not tried. */
export async function* replayAll(
  bus: Bus,
  letters: readonly LetterLine[],
  { clock, pause, isForced }: Paced,
): AsyncIterable<readonly [letter: LetterLine, outcome: Replayed]> {
  for (const [place, letter] of letters.entries()) {
    // eslint-disable-next-line no-await-in-loop -- the gap is the point
    if (place > 0) await pause(REPLAY_GAP_MS);
    // eslint-disable-next-line no-await-in-loop -- as above
    yield [letter, await replayLetter({ bus, clock }, letter.seq, { isForced })];
  }
}

/** What a replay sends, or why there is none. */
async function readyAt(bus: Bus, seq: number, isForced: boolean): Promise<Ready | string> {
  const letter = await readable(() => letterAt(bus, seq));
  if (letter === undefined) return 'there is no such letter any more';
  if (typeof letter === 'string') return letter;
  const contract = STREAM_EVENTS.find((each) => each.matches(letter.original_subject));
  const obstacle = obstacleOf(letter, contract, isForced);
  if (obstacle !== undefined || contract === undefined) return obstacle ?? 'no contract';
  const message = await readable(() => decode(contract.message, bodyOf(letter)));
  return typeof message === 'string' ? message : { letter, contract, message };
}

/** The value, or why it cannot be read. */
async function readable<T>(read: () => T | Promise<T>): Promise<T | string> {
  try {
    return await read();
  } catch (fault) {
    if (fault instanceof BeamlineError && fault.code === 'invalid_request') return `unreadable: ${fault.message}`;
    throw fault;
  }
}

function obstacleOf(letter: DlqEnvelope, contract: StreamEvent | undefined, isForced: boolean): string | undefined {
  if (contract === undefined) return `${letter.original_subject} is no registered event of a stream`;
  if (letter.payload_truncated === true) return 'its body was cut';
  if (letter.payload_encoding !== 'base64') return 'its body is encrypted';
  if (!HEADER_VALUE.test(letter.msg_id)) return 'its id cannot be a header';
  if ((letter.replay?.count ?? 0) >= REPLAYS_MAX) return `it was replayed ${REPLAYS_MAX} times`;
  if (!letter.error.retryable && !isForced)
    return `${letter.error.code} is not retryable: it is replayed by force only`;
  const digest = createHash('sha256').update(bodyOf(letter)).digest('hex');
  return digest === letter.payload_sha256 ? undefined : 'its body is not the one that was given up';
}

const bodyOf = (letter: DlqEnvelope): Uint8Array => Buffer.from(letter.payload, 'base64');

/** The original headers that the contract's set knows; on v2 with the number of the replay. */
function headersAgain(
  { headers }: DlqEnvelope,
  contract: StreamEvent,
  count: number,
): Readonly<Record<string, string>> {
  const { required, optional } = HEADER_SETS[contract.headers];
  const known = new Set<string>([...required, ...optional, 'traceparent', 'tracestate']);
  const again = Object.entries(headers).flatMap(([name, value]): readonly (readonly [string, string])[] => {
    const spelled = name.toLowerCase();
    const isKept = known.has(spelled.replaceAll('-', '_')) || known.has(spelled);
    return isKept && !OWN_HEADERS.test(spelled) && typeof value === 'string' && HEADER_VALUE.test(value)
      ? [[spelled, value]]
      : [];
  });
  return {
    ...Object.fromEntries(again),
    ...(contract.headers.endsWith('_v2') ? { x_retry_count: String(count) } : {}),
  };
}
