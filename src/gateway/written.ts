// Writes a body as fast as the client reads. One that fails is cut, so that nobody takes it for whole: the chunk that
// ends the body, or a part of its announced length, is missing.
import { BeamlineError } from '../core/errors.ts';
import type { Call } from './call.ts';

export interface Writing {
  /** How long a client may take nothing. */
  readonly stallMs: number;
  /** Name and value in turn. */
  readonly headers: readonly string[];
}

/** Resolves when the body has ended, whole or not; rejects before the head was written only. */
export async function writeBody(
  call: Call,
  parts: AsyncIterable<string | Uint8Array>,
  { stallMs, headers }: Writing,
): Promise<void> {
  const reading = parts[Symbol.asyncIterator]();
  let next = await reading.next();
  if (call.isOver) return;
  const stop = new AbortController();
  call.owner = {
    gone: () => stop.abort(),
    abort(error) {
      stop.abort();
      cut(call, error);
    },
  };
  call.writeHead(200, headers);
  try {
    while (next.done !== true && !stop.signal.aborted) {
      // eslint-disable-next-line no-await-in-loop -- as fast as the client reads
      await written(call, next.value, stallMs, stop.signal);
      // eslint-disable-next-line no-await-in-loop -- as above
      next = await reading.next();
    }
    if (stop.signal.aborted) return;
    call.res.end();
    call.finish(200);
  } catch (thrown) {
    cut(call, BeamlineError.from(thrown));
  }
}

function cut(call: Call, error: BeamlineError): void {
  call.finish(error.code === 'client_closed' ? 499 : 200, error);
  call.res.destroy();
}

/** Resolves when there is room for more; rejects when the client took nothing for a long time. */
function written(
  { res, edge }: Call,
  part: string | Uint8Array,
  stallMs: number,
  signal: AbortSignal,
): Promise<void> | undefined {
  if (res.write(part)) return undefined;
  return new Promise((resolve, reject) => {
    const timer = edge.timers.after(stallMs, () => {
      done();
      reject(new BeamlineError('client_closed', 'The client did not read.'));
    });
    const go = (): void => {
      done();
      resolve();
    };
    function done(): void {
      timer.cancel();
      res.off('drain', go);
      signal.removeEventListener('abort', go);
    }
    res.once('drain', go);
    signal.addEventListener('abort', go, { once: true });
  });
}
