// Which headers a payload may send with a request, and which of an answer it gets to see (worker 12).
import { BlockFailure } from './block.ts';

const COUNT_MAX = 64;
const CHARS_MAX = 16_384;
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** What frames the message is ours, and what opens the door to a machine's secrets is nobody's. */
const REFUSED =
  /^(?:host|content-length|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|proxy-.*|metadata.*|x-aws-ec2-.*)$/;
/** A credential comes by reference, or it would be kept with the job. */
const CREDENTIALS: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
  'x-auth-token',
]);
const KEPT_BACK: ReadonlySet<string> = new Set(['set-cookie', 'set-cookie2']);

/** The same headers with lower-case names. Throws `BlockFailure` for one that may not be sent. */
export function checkHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const checked: Record<string, string> = {};
  let chars = 0;
  for (const [given, value] of Object.entries(headers)) {
    const name = given.toLowerCase();
    chars += name.length + value.length;
    if (!NAME.test(name) || !VALUE.test(value) || name === '__proto__') throw refused('INVALID_INPUT', 'header');
    if (REFUSED.test(name)) throw refused('SANDBOX_VIOLATION', 'header');
    if (CREDENTIALS.has(name)) throw refused('SANDBOX_VIOLATION', 'raw_credential');
    if (Object.hasOwn(checked, name)) throw refused('INVALID_INPUT', 'header');
    checked[name] = value;
  }
  if (Object.keys(checked).length > COUNT_MAX || chars > CHARS_MAX) throw refused('INVALID_INPUT', 'headers_too_large');
  return checked;
}

/** One text each; cookies stay here. */
export const answerHeaders = (
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined || KEPT_BACK.has(name) ? [] : [[name, typeof value === 'string' ? value : value.join(', ')]],
    ),
  );

const TEXTS: Readonly<Record<string, string>> = {
  header: 'a header may not be sent',
  raw_credential: 'a credential must be named by auth_ref',
  headers_too_large: 'the headers are too large',
};

const refused = (code: 'INVALID_INPUT' | 'SANDBOX_VIOLATION', detailCode: string): BlockFailure =>
  new BlockFailure(code, TEXTS[detailCode] ?? detailCode, { detailCode });
