// The block `http.request`: one request to an address of the caller, through the guard of such requests (worker 11, 12).
import { createHash } from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import { Type } from 'typebox';
import { payload } from '../../contracts/contract.ts';
import { parseGuarded } from '../../core/json-guard.ts';
import { readRetryAfter } from '../../provider/retry-after.ts';
import type { EgressAnswer } from '../../provider/egress-exchange.ts';
import { type Egress, EgressFault } from '../../provider/egress.ts';
import { BLOB_BYTES_MAX, type PassingBlobs } from '../../store/blobs.ts';
import { storing } from './blob-failure.ts';
import { type BlockSecret, credentialsOf } from './block-secrets.ts';
import { type Block, type BlockContext, BlockFailure, type BlockFailureOptions, type BlockUsage } from './block.ts';
import { answerHeaders, checkHeaders } from './http-headers.ts';
import { fitsInline } from './inline.ts';

export interface HttpRequestOptions {
  readonly egress: Egress;
  readonly secrets: readonly BlockSecret[];
  /** Where bodies go that do not fit into a result; absent: those beyond 4 MiB are refused. */
  readonly blobs: PassingBlobs | undefined;
}

const METHODS = ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
const Scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()]);

const Input = Type.Object({
  method: Type.Enum([...METHODS]),
  url: Type.String({ minLength: 1, maxLength: 8_192 }),
  headers: Type.Optional(Type.Record(Type.String(), Type.String())),
  query: Type.Optional(Type.Record(Type.String(), Scalar)),
  // A text is sent as it is, anything else as JSON.
  body: Type.Optional(Type.Unknown()),
  body_ref: Type.Optional(Type.String({ maxLength: 1_024 })),
  auth_ref: Type.Optional(Type.String({ maxLength: 160 })),
  expect_status: Type.Optional(Type.Array(Type.Integer({ minimum: 200, maximum: 599 }), { minItems: 1, maxItems: 64 })),
  idempotent: Type.Optional(Type.Boolean()),
  follow_redirects: Type.Optional(Type.Boolean()),
});
type Input = Type.Static<typeof Input>;

const Output = Type.Object({
  status: Type.Integer(),
  headers: Type.Record(Type.String(), Type.String()),
  body: Type.Optional(Type.Unknown()),
  // `json`: the body is the value; `utf8`: its text; `base64`: its bytes.
  body_encoding: Type.Optional(Type.Enum(['json', 'utf8', 'base64'])),
  body_ref: Type.Optional(Type.String()),
  bytes: Type.Integer({ minimum: 0 }),
});
type Output = Type.Static<typeof Output>;

const OUT_BYTES_MAX = 1_048_576;
const IN_BYTES_MAX = 4_194_304;
const REDIRECTS_MAX = 5;
const JSON_LIMITS = { depthMax: 64, valuesMax: 1_000_000 };
const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i;
const PLAIN_KEY = /^[\x21-\x7e]{1,256}$/;
const READING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

export function httpRequest(options: HttpRequestOptions): Block<Input, Output> {
  return {
    type: 'http.request',
    version: '1',
    class: 'io',
    scopes: ['http:egress'],
    effect({ method, idempotent }) {
      if (READING.has(method)) return 'none';
      return idempotent === true ? 'idempotent' : 'external';
    },
    input: payload('beamline.block.http_request.Input', '1', Input),
    output: payload('beamline.block.http_request.Output', '1', Output),
    async execute(input, context) {
      const body = await bodyOf(options, input, context.tenantId);
      const answer = await send(options, input, body?.bytes, {
        headers: headersOf(input, body?.type, context),
        context,
      });
      const usage: BlockUsage = { requests: 1, bytes_out: body?.bytes.length ?? 0, bytes_in: answer.body.length };
      refuseStatus(input, answer, usage, context.timers.clock.epochMs());
      const { status, headers } = answer;
      const shown = await shownBody(options, answer, context.tenantId);
      return { output: { status, headers: answerHeaders(headers), bytes: answer.body.length, ...shown }, usage };
    },
  };
}

interface Body {
  readonly bytes: Uint8Array;
  readonly type: string | undefined;
}

async function bodyOf({ blobs }: HttpRequestOptions, input: Input, tenantId: string): Promise<Body | undefined> {
  const { body, body_ref: ref, method } = input;
  if (body === undefined && ref === undefined) return undefined;
  if (READING.has(method) || (body !== undefined && ref !== undefined))
    throw invalid('the request has a body too many', 'body');
  const read = ref === undefined ? encoded(body) : await referred(blobs, tenantId, ref);
  if (read.bytes.length > OUT_BYTES_MAX) throw invalid('the body has more than 1 MiB', 'too_large');
  return read;
}

function encoded(body: unknown): Body {
  const isText = typeof body === 'string';
  const bytes = new TextEncoder().encode(isText ? body : JSON.stringify(body));
  return { bytes, type: isText ? 'text/plain; charset=utf-8' : 'application/json' };
}

async function referred(blobs: PassingBlobs | undefined, tenantId: string, ref: string): Promise<Body> {
  const bytes = blobs === undefined ? undefined : await storing(blobs.read(tenantId, ref));
  if (bytes === undefined) throw invalid('the reference names nothing', 'not_found');
  return { bytes, type: undefined };
}

function headersOf(input: Input, type: string | undefined, { idempotencyKey }: BlockContext): Record<string, string> {
  const headers = checkHeaders(input.headers ?? {});
  if (type !== undefined) headers['content-type'] ??= type;
  headers['user-agent'] ??= 'beamline';
  if (input.idempotent === true) {
    headers['idempotency-key'] = PLAIN_KEY.test(idempotencyKey)
      ? idempotencyKey
      : createHash('sha256').update(idempotencyKey).digest('hex');
  }
  return headers;
}

async function send(
  { egress, secrets, blobs }: HttpRequestOptions,
  input: Input,
  body: Uint8Array | undefined,
  { headers, context }: { readonly headers: Record<string, string>; readonly context: BlockContext },
): Promise<EgressAnswer> {
  const url = withQuery(input.url, input.query ?? {});
  const { auth_ref: ref, method, follow_redirects = true } = input;
  const { tenantId, signal } = context;
  const credentials = ref === undefined ? {} : credentialsOf(secrets, ref, { tenantId, url });
  const redirectsMax = follow_redirects ? REDIRECTS_MAX : 0;
  const maxBodyBytes = blobs === undefined ? IN_BYTES_MAX : BLOB_BYTES_MAX;
  try {
    return await egress.send({ method, url, headers, credentials, body, redirectsMax, maxBodyBytes, signal });
  } catch (fault) {
    if (!(fault instanceof EgressFault)) throw fault;
    const { code, message, detailCode } = fault.failure;
    throw new BlockFailure(code, message, detailCode === undefined ? {} : { detailCode });
  }
}

/** Written into the text, so that the address is read once, by the guard. */
function withQuery(url: string, query: Readonly<Record<string, string | number | boolean>>): string {
  const pairs = Object.entries(query).map(([name, value]) => `${part(name)}=${part(String(value))}`);
  if (pairs.length === 0) return url;
  const [address = ''] = url.split('#', 1);
  return `${address}${address.includes('?') ? '&' : '?'}${pairs.join('&')}`;
}

const part = (text: string): string => encodeURIComponent(text.toWellFormed());

function refuseStatus(
  { expect_status: expected }: Input,
  { status, headers }: EgressAnswer,
  usage: BlockUsage,
  epochMs: number,
): void {
  const isGood = expected === undefined ? status >= 200 && status < 300 : expected.includes(status);
  if (isGood) return;
  const retryAfterMs = readRetryAfter(headers, epochMs);
  const more: BlockFailureOptions = {
    httpStatus: status,
    usage,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
  const text = `the server answered with status ${status}`;
  if (status === 429) throw new BlockFailure('PROVIDER_RATE_LIMITED', text, more);
  if (status === 408 || status === 504)
    throw new BlockFailure('CONNECTION_TIMEOUT', text, { ...more, detailCode: 'upstream' });
  if (status >= 500) throw new BlockFailure('PROVIDER_UNAVAILABLE', text, { ...more, detailCode: 'http_5xx' });
  throw new BlockFailure('EXECUTION_FAILED', text, { ...more, detailCode: 'http_status' });
}

/** What does not fit into a result goes to a blob, where there are any: the request was made, and is not made again for it. */
async function shownBody(
  { blobs }: HttpRequestOptions,
  { body, headers }: EgressAnswer,
  tenantId: string,
): Promise<Partial<Output>> {
  if (body.length === 0) return {};
  const shown = body.length > IN_BYTES_MAX ? undefined : readBody(body, headers);
  if (shown !== undefined && (blobs === undefined || fitsInline(shown))) return shown;
  return blobs === undefined ? {} : { body_ref: await storing(blobs.keep(tenantId, body)) };
}

function readBody(body: Buffer, headers: EgressAnswer['headers']): Pick<Output, 'body' | 'body_encoding'> {
  const { 'content-type': type, 'content-encoding': encoding } = headers;
  const isPlain = encoding === undefined || encoding === 'identity';
  if (isPlain && typeof type === 'string' && JSON_TYPE.test(type)) {
    const json = parseGuarded(body, JSON_LIMITS);
    if (json.ok) return { body: json.value, body_encoding: 'json' };
  }
  return isPlain && isUtf8(body)
    ? { body: body.toString('utf8'), body_encoding: 'utf8' }
    : { body: body.toString('base64'), body_encoding: 'base64' };
}

const invalid = (message: string, detailCode: string): BlockFailure =>
  new BlockFailure('INVALID_INPUT', message, { detailCode });
