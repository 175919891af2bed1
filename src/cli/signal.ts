// Waits for the operator to end a command.
import { EXIT } from './exit.ts';

/** What is written away in a hurry has this long. */
const FLUSH_MS = 5_000;

/**
 * Resolves with the first SIGINT or SIGTERM. The second one says `hurry`, and the process ends with exit 1 when what it
 * holds is written away, or soon; a third one, or the second where nobody hurries, ends it at once.
 */
export function untilSignal(hurry?: AbortController): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let count = 0;
    const stop = (signal: NodeJS.Signals): void => {
      count++;
      if (count === 1) return resolve(signal);
      if (count > 2 || hurry === undefined) process.exit(EXIT.failed);
      hurry.abort();
      setTimeout(() => process.exit(EXIT.failed), FLUSH_MS).unref();
    };
    process.on('SIGINT', stop).on('SIGTERM', stop);
  });
}
