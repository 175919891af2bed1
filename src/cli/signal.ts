// Waits for the operator to end a command.
import { EXIT } from './exit.ts';

/** Resolves with the first SIGINT or SIGTERM; a second one ends the process at once, with exit 1. */
export function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let isEnding = false;
    const stop = (signal: NodeJS.Signals): void => {
      if (isEnding) process.exit(EXIT.failed);
      isEnding = true;
      resolve(signal);
    };
    process.on('SIGINT', stop).on('SIGTERM', stop);
  });
}
