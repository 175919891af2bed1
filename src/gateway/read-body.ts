// Reads the JSON body of a call, once, within its bytes and its time (gateway 2).
// R1. Nothing is read of a body that is declared too large or of the wrong type; reading stops at the limit.
// R2. The promise stays pending when the client leaves: the call is over by then, and nobody needs the answer.
import { MESSAGE_BYTES_MAX, JSON_DEPTH_MAX } from '../contracts/limits.ts';
import { BeamlineError } from '../core/errors.ts';
import { parseGuarded } from '../core/json-guard.ts';
import type { Timer } from '../core/timers.ts';
import type { Call, Owner } from './call.ts';

export interface BodyLimits {
  readonly bytesMax: number;
  readonly timeoutMs: number;
}

export interface JsonBody {
  readonly value: Readonly<Record<string, unknown>>;
  readonly bytes: number;
}

/** A larger body would not fit a message, which is as large on every bus. */
export const BODY_BYTES_MAX = MESSAGE_BYTES_MAX - 65_536;

/** A message that carries a body holds it two levels deeper, as `task.payload`. */
export const BODY_DEPTH_MAX = JSON_DEPTH_MAX - 2;

const JSON_LIMITS = { depthMax: BODY_DEPTH_MAX, valuesMax: 100_000 };
const UTF8_JSON = /^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?;?\s*$/i;

/** Throws `invalid_request`, `unsupported_media_type`, `request_too_large` or `request_timeout`. */
export async function readJson(call: Call, limits: BodyLimits): Promise<JsonBody> {
  requireJson(call);
  const bytes = await readBytes(call, limits);
  const parsed = parseGuarded(bytes, JSON_LIMITS);
  if (!parsed.ok) throw refused(parsed.fault, 'The body is not acceptable JSON.');
  const { value } = parsed;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refused('not_an_object', 'The body must be a JSON object.');
  }
  return { value: value as Readonly<Record<string, unknown>>, bytes: bytes.length };
}

const refused = (reason: string, message: string): BeamlineError =>
  new BeamlineError('invalid_request', message, { details: { reason } });

function requireJson({ req: { headers } }: Call): void {
  const type = headers['content-type'];
  const isEmpty = headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
  if (isEmpty) throw refused('empty_body', 'The body is missing.');
  if (type !== 'application/json' && (type === undefined || !UTF8_JSON.test(type))) {
    throw new BeamlineError('unsupported_media_type', 'The body must be application/json in UTF-8.');
  }
  if (headers['content-encoding'] !== undefined) {
    throw new BeamlineError('unsupported_media_type', 'The body must come without content-encoding.');
  }
}

const tooLarge = (bytesMax: number): BeamlineError =>
  new BeamlineError('request_too_large', `The body may have ${bytesMax} bytes.`, { details: { limit: bytesMax } });

function readBytes(call: Call, { bytesMax, timeoutMs }: BodyLimits): Promise<Buffer> {
  const { req, res } = call;
  if (Number(req.headers['content-length'] ?? 0) > bytesMax) throw tooLarge(bytesMax);
  if (req.headers.expect !== undefined) res.writeContinue();
  return new Promise((resolve, reject) => {
    call.owner = new BodyReader(call, { bytesMax, timeoutMs }, resolve, reject);
  });
}

class BodyReader implements Owner {
  readonly #call: Call;
  readonly #bytesMax: number;
  readonly #resolve: (bytes: Buffer) => void;
  readonly #reject: (error: BeamlineError) => void;
  readonly #timer: Timer;
  #parts: Buffer[] = [];
  #bytes = 0;
  #isOver = false;

  constructor(
    call: Call,
    { bytesMax, timeoutMs }: BodyLimits,
    resolve: (bytes: Buffer) => void,
    reject: (error: BeamlineError) => void,
  ) {
    this.#call = call;
    this.#bytesMax = bytesMax;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#timer = call.edge.timers.after(timeoutMs, () =>
      this.#refuse(new BeamlineError('request_timeout', 'The body did not come in time.')),
    );
    call.req.on('data', (part: Buffer) => this.#take(part));
    call.req.on('end', () => this.#end());
  }

  gone(): void {
    this.#stop();
  }

  abort(error: BeamlineError): void {
    this.#stop();
    this.#call.fail(error, true);
  }

  #take(part: Buffer): void {
    if (this.#isOver) return;
    this.#bytes += part.length;
    if (this.#bytes > this.#bytesMax) this.#refuse(tooLarge(this.#bytesMax));
    else this.#parts.push(part);
  }

  #end(): void {
    if (this.#isOver) return;
    const parts = this.#parts;
    this.#stop();
    const [only] = parts;
    this.#resolve(only !== undefined && parts.length === 1 ? only : Buffer.concat(parts, this.#bytes));
  }

  #refuse(error: BeamlineError): void {
    if (this.#isOver) return;
    this.#stop();
    this.#call.req.pause();
    this.#reject(error);
  }

  #stop(): void {
    this.#isOver = true;
    this.#parts = [];
    this.#timer.cancel();
    this.#call.owner = undefined;
  }
}
