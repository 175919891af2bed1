// The stream of dead letters from its newest end, a page at a time: what is looked at for one page has a bound.
import { type ConsumerSpec, deadLetterStream } from '../contracts/streams.ts';
import type { Bus } from './bus.ts';
import { isNoStream, type LetterLine, lineOf } from './letter-box.ts';

/** Read at a time, each with its body. */
const WINDOW = 16;
const LOOKS_MAX = 2_000;
const LOOKED_BYTES_MAX = 64 * 1_048_576;
/** A consumer that was never made, so that everything is left to it. */
const NOBODY: ConsumerSpec = { durable: 'dead-letter-pages', ackWaitMs: 30_000, ackPendingMax: 1, nakDelaysMs: [] };

export interface LetterPage {
  /** Newest first; fewer than asked for where the bound of a page came first. */
  readonly letters: readonly LetterLine[];
  /** The next page is below it; undefined where there is none. */
  readonly below: number | undefined;
}

/** Throws `unavailable`; a stream that nobody made yet holds no letters. */
export async function letterPage(
  bus: Bus,
  { below, fits, limit }: Readonly<{ below?: number | undefined; fits: (line: LetterLine) => boolean; limit: number }>,
): Promise<LetterPage> {
  const { firstSeq, endSeq } = await rangeOf(bus);
  const letters = new Map<string, LetterLine>();
  let top = Math.min(below ?? endSeq, endSeq);
  for (let looks = 0, bytes = 0; top > firstSeq && looks < LOOKS_MAX && bytes < LOOKED_BYTES_MAX;) {
    const fromSeq = Math.max(firstSeq, top - WINDOW);
    // eslint-disable-next-line no-await-in-loop -- one window after the other
    const read = await bus.read(deadLetterStream, { fromSeq, limit: top - fromSeq });
    looks += top - fromSeq;
    for (const stored of read.toReversed()) {
      bytes += stored.body.byteLength;
      // A window with gaps reaches into the one before it.
      if (stored.seq >= top) continue;
      const line = lineOf(stored);
      if ('fault' in line || letters.has(line.msg_id) || !fits(line)) continue;
      letters.set(line.msg_id, line);
      if (letters.size === limit) return page(letters, stored.seq, firstSeq);
    }
    top = fromSeq;
  }
  return page(letters, top, firstSeq);
}

const page = (letters: ReadonlyMap<string, LetterLine>, below: number, firstSeq: number): LetterPage => ({
  letters: [...letters.values()],
  below: below > firstSeq ? below : undefined,
});

async function rangeOf(bus: Bus): Promise<{ readonly firstSeq: number; readonly endSeq: number }> {
  try {
    const { lastSeq, settledSeq } = await bus.progress(deadLetterStream, NOBODY);
    return { firstSeq: settledSeq + 1, endSeq: lastSeq + 1 };
  } catch (fault) {
    if (isNoStream(fault)) return { firstSeq: 1, endSeq: 1 };
    throw fault;
  }
}
