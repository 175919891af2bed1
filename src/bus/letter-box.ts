// The stream of dead letters as operators see it: listed without bodies, read one by one, removed.
// A letter that was replayed is stored anew with its count, and the old copy removed: the last copy is the letter.
import { decode } from '../contracts/codec.ts';
import { deadLetter, type DlqEnvelope } from '../contracts/dead-letter.ts';
import { deadLetterStream } from '../contracts/streams.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Bus, Stored } from './bus.ts';

const PAGE = 100;

/** A letter without its body. */
export interface LetterLine {
  readonly seq: number;
  readonly stored_at_ms: number;
  readonly msg_id: string;
  readonly original_subject: string;
  readonly producer: string;
  readonly tenant_id?: string;
  readonly error: DlqEnvelope['error'];
  readonly delivery: DlqEnvelope['delivery'];
  readonly payload_bytes: number;
  readonly payload_truncated: boolean;
  readonly replays: number;
}

/** What stands in the stream and is no letter; it can only be purged. */
export interface UnreadableLine {
  readonly seq: number;
  readonly stored_at_ms: number;
  readonly fault: string;
}

export interface LetterList {
  /** Oldest first. */
  readonly letters: readonly LetterLine[];
  readonly unreadable: readonly UnreadableLine[];
  /** There are more that fit than `limit`. */
  readonly isCut: boolean;
}

/** Throws `unavailable`; a stream that nobody made yet holds no letters. */
export async function listLetters(
  bus: Bus,
  { fits, limit }: { readonly fits: (line: LetterLine) => boolean; readonly limit: number },
): Promise<LetterList> {
  const letters = new Map<string, LetterLine>();
  const unreadable: UnreadableLine[] = [];
  let isCut = false;
  for (let fromSeq = 1; ;) {
    // eslint-disable-next-line no-await-in-loop -- pages come one after the other
    const page = await readOrNone(bus, { fromSeq, limit: PAGE });
    for (const stored of page) {
      const line = lineOf(stored);
      if ('fault' in line) {
        if (unreadable.length < limit) unreadable.push(line);
      } else if (fits(line)) {
        const isNew = !letters.has(line.msg_id);
        if (isNew && letters.size >= limit) isCut = true;
        else letters.set(line.msg_id, line);
      }
    }
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) break;
    fromSeq = last.seq + 1;
  }
  return { letters: [...letters.values()], unreadable, isCut };
}

/** The envelope at a place; undefined if there is none any more. Throws `invalid_request` for what is no letter. */
export async function letterAt(bus: Bus, seq: number): Promise<DlqEnvelope | undefined> {
  const stored = await storedAt(bus, seq);
  return stored === undefined ? undefined : decode(deadLetter.message, stored.body);
}

/** What stands at a place, a letter or not; undefined if there is nothing any more. */
export async function storedAt(bus: Bus, seq: number): Promise<Stored | undefined> {
  const [stored] = await readOrNone(bus, { fromSeq: seq, limit: 1 });
  return stored?.seq === seq ? stored : undefined;
}

/** False if it was not there. */
export const removeLetter = (bus: Bus, seq: number): Promise<boolean> => bus.remove(deadLetterStream, seq);

/** A stream that nobody made yet holds nothing. */
async function readOrNone(
  bus: Bus,
  place: { readonly fromSeq: number; readonly limit: number },
): Promise<readonly Stored[]> {
  try {
    return await bus.read(deadLetterStream, place);
  } catch (fault) {
    if (isNoStream(fault)) return [];
    throw fault;
  }
}

export const isNoStream = (fault: unknown): boolean =>
  fault instanceof BeamlineError && fault.details['reason'] === 'no_stream';

export function lineOf({ seq, storedAtMs, body }: Stored): LetterLine | UnreadableLine {
  let letter: DlqEnvelope;
  try {
    letter = decode(deadLetter.message, body);
  } catch (fault) {
    return { seq, stored_at_ms: storedAtMs, fault: BeamlineError.from(fault).message };
  }
  return {
    seq,
    stored_at_ms: storedAtMs,
    msg_id: letter.msg_id,
    original_subject: letter.original_subject,
    producer: letter.producer,
    ...(letter.tenant_id === undefined ? {} : { tenant_id: letter.tenant_id }),
    error: letter.error,
    delivery: letter.delivery,
    payload_bytes: letter.payload_bytes,
    payload_truncated: letter.payload_truncated === true,
    replays: letter.replay?.count ?? 0,
  };
}
