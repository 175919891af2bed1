// What a watcher of a bucket has not read yet: bounded, so a watcher that lags is ended instead of holding memory.
import { BeamlineError } from '../core/errors.ts';
import type { Entry } from './bus.ts';

const LAG_MAX = 65_536;

export class WatchQueue {
  #entries: Entry[] = [];
  #wake: (() => void) | undefined;
  #end: { readonly fault: BeamlineError | undefined } | undefined;

  push(entry: Entry): void {
    if (this.#end !== undefined) return;
    if (this.#entries.length >= LAG_MAX)
      this.end(new BeamlineError('service_overloaded', 'a watcher of a bucket lags'));
    else this.#entries.push(entry);
    this.#wake?.();
  }

  /** What was pushed is still read; then the fault is thrown, if there is one. */
  end(fault?: BeamlineError): void {
    this.#end ??= { fault };
    this.#wake?.();
  }

  /** For one reader. */
  async *read(signal: AbortSignal): AsyncGenerator<Entry, void> {
    const abort = (): void => this.#wake?.();
    signal.addEventListener('abort', abort);
    try {
      while (!signal.aborted) {
        const entries = this.#entries;
        this.#entries = [];
        for (const entry of entries) {
          if (signal.aborted) return;
          yield entry;
        }
        if (this.#entries.length > 0 || signal.aborted) continue;
        if (this.#end?.fault !== undefined) throw this.#end.fault;
        if (this.#end !== undefined) return;
        // eslint-disable-next-line no-await-in-loop -- the loop is the reader
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      signal.removeEventListener('abort', abort);
      this.end();
    }
  }
}
