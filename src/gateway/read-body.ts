// Reads the JSON body of a call, once, within its bytes and its time (gateway 2).
// R1. Nothing is read of a body that is declared too large or of the wrong type; reading stops at the limit.
// R2. The promise stays pending when the client leaves: the call is over by then, and nobody needs the answer.
import { MESSAGE_BYTES_MAX, JSON_DEPTH_MAX } from '../contracts/limits.ts';
import { BeamlineError } from '../core/errors.ts';
import { parseGuarded } from '../core/json-guard.ts';
import type { Call } from './call.ts';

export interface BodyLimits {
  readonly bytesMax: number;
  readonly timeoutMs: number;
}

export interface JsonBody {
  readonly value: Readonly<Record<string, unknown>>;
  readonly bytes: number;
}

/** A larger body would not fit a message of the bus. */
export const BODY_BYTES_MAX = MESSAGE_BYTES_MAX - 65_536;

const JSON_LIMITS = { depthMax: JSON_DEPTH_MAX, valuesMax: 100_000 };
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
    const parts: Buffer[] = [];
    let bytes = 0;
    let isRefused = false;
    const refuse = (error: BeamlineError): void => {
      if (isRefused) return;
      isRefused = true;
      timer.cancel();
      req.pause();
      reject(error);
    };
    const timer = call.edge.timers.after(timeoutMs, () =>
      refuse(new BeamlineError('request_timeout', 'The body did not come in time.')),
    );
    req.on('data', (part: Buffer) => {
      bytes += part.length;
      if (bytes > bytesMax) refuse(tooLarge(bytesMax));
      else parts.push(part);
    });
    req.on('end', () => {
      timer.cancel();
      const [only] = parts;
      resolve(only !== undefined && parts.length === 1 ? only : Buffer.concat(parts, bytes));
    });
    req.on('close', () => timer.cancel());
  });
}
