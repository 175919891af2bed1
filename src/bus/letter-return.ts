// Sends dead letters that waited on the disk to their stream, every so often, the oldest first.
import { deadLetter } from '../contracts/dead-letter.ts';
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { Bus } from './bus.ts';
import { sendLetter } from './dead-letters.ts';

const EVERY_MS = 30_000;

/** What has lines that wait. */
export interface WaitingLetters {
  readonly bytes: number;
  /** Throws what `take` throws; the lines of that file come again. */
  drain(take: (line: string) => Promise<void>): Promise<void>;
}

export interface ReturnDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly log: Log;
  readonly letters: WaitingLetters;
}

/** Begins with what an earlier process left. Disposing waits for the letter that is on its way. */
export function returnLetters({ bus, timers, log, letters }: ReturnDeps): AsyncDisposable {
  const closing = new AbortController();
  const send = async (line: string): Promise<void> => {
    closing.signal.throwIfAborted();
    const letter = parsed(line);
    // A line that was cut by a crash, or that somebody else wrote: it can be no letter, and stays in the log alone.
    if (!deadLetter.message.check(letter)) return log.error('letter_unreadable', { count: line.length });
    await sendLetter(bus, letter);
    log.info('letter_returned', { source: letter.original_subject });
  };
  const run = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      // eslint-disable-next-line no-await-in-loop -- one round after the other
      if (letters.bytes > 0) await letters.drain(send).catch((fault: unknown) => log.debug('letters_wait', { fault }));
      // eslint-disable-next-line no-await-in-loop -- as above
      await timers.sleep(EVERY_MS, closing.signal).catch(() => undefined);
    }
  };
  const running = run();
  return {
    async [Symbol.asyncDispose]() {
      closing.abort();
      await running;
    },
  };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
