// What an upstream's failure means to us (worker 10.4). Total: every status, error object and transport fault has a row.
// Only codes and our own fixed texts leave here. The provider's words are kept for a bad request alone, redacted.
import { createHash } from 'node:crypto';
import type { ExecutionCode, ExecutionFailure } from '../core/execution-errors.ts';
import { redactText } from '../core/redact.ts';
import type { UpstreamError } from '../dialect/openai-chat.ts';

/** What came instead of an answer. Without a status the error stood in a good answer. */
export interface UpstreamRefusal {
  readonly status?: number;
  readonly error: UpstreamError | undefined;
  readonly retryAfterMs?: number | undefined;
  /** The key that was used: no message may repeat it. */
  readonly secret?: string | undefined;
}

interface Meaning {
  readonly code: ExecutionCode;
  readonly detailCode?: string;
}

const MESSAGE_CHARS_MAX = 512;

const context: Meaning = { code: 'CONTEXT_LENGTH_EXCEEDED' };
const blocked: Meaning = { code: 'CONTENT_BLOCKED' };
const auth: Meaning = { code: 'PROVIDER_AUTH_FAILED' };
const billing: Meaning = { code: 'PROVIDER_AUTH_FAILED', detailCode: 'billing' };
const badRequest: Meaning = { code: 'INVALID_INPUT', detailCode: 'provider' };
const noModel: Meaning = { code: 'MODEL_NOT_FOUND' };
const late: Meaning = { code: 'CONNECTION_TIMEOUT', detailCode: 'upstream' };
const limited: Meaning = { code: 'PROVIDER_RATE_LIMITED' };
const overloaded: Meaning = { code: 'PROVIDER_UNAVAILABLE', detailCode: 'overloaded' };
const broken: Meaning = { code: 'PROVIDER_UNAVAILABLE', detailCode: 'http_5xx' };
const protocol = (detailCode: string): Meaning => ({ code: 'PROVIDER_PROTOCOL_ERROR', detailCode });

const STATUSES: Readonly<Record<number, Meaning>> = {
  400: badRequest,
  401: auth,
  402: billing,
  403: auth,
  404: noModel,
  408: late,
  424: broken,
  429: limited,
  503: overloaded,
  504: late,
  529: overloaded,
};

/** Words of `code` or `type` that say more than a 4xx status. */
const PRECISE: Readonly<Record<string, Meaning>> = {
  context_length_exceeded: context,
  content_filter: blocked,
  content_policy_violation: blocked,
  insufficient_quota: billing,
  billing_hard_limit_reached: billing,
  invalid_api_key: auth,
  api_key_invalid: auth,
  model_not_found: noModel,
  resource_exhausted: limited,
  throttlingexception: limited,
  overloaded_error: overloaded,
};

/** Words that stand for the status where there is none. */
const NAMES: Readonly<Record<string, Meaning>> = {
  authentication_error: auth,
  permission_error: auth,
  billing_error: billing,
  invalid_request_error: badRequest,
  not_found_error: noModel,
  rate_limit_error: limited,
  rate_limit_exceeded: limited,
  timeout_error: late,
  service_unavailable: overloaded,
  api_error: broken,
  server_error: broken,
};

const TOO_LONG = /prompt is too long|maximum context length/i;

const TEXTS: Partial<Record<ExecutionCode, string>> = {
  CONTEXT_LENGTH_EXCEEDED: 'the prompt is too long for the model',
  CONTENT_BLOCKED: "the provider's filter refused the content",
  PROVIDER_AUTH_FAILED: 'the provider refused the credential',
  INVALID_INPUT: 'the provider refused the request',
  MODEL_NOT_FOUND: 'the provider does not know the model',
  CONNECTION_TIMEOUT: 'the provider took too long',
  PROVIDER_RATE_LIMITED: "the provider's limit is reached",
  PROVIDER_UNAVAILABLE: 'the provider is not available',
  PROVIDER_PROTOCOL_ERROR: 'the provider broke its protocol',
  NETWORK_ERROR: 'the connection to the provider failed',
  SYSTEM_OVERLOAD: 'too many calls to the provider are open',
};

/** A failure of our own finding, with the fixed text of its code. */
export const failureOf = (code: ExecutionCode, detailCode?: string): ExecutionFailure => ({
  code,
  message: TEXTS[code] ?? 'the call failed',
  ...(detailCode === undefined ? {} : { detailCode }),
});

/** An answer that is none: redirected, truncated, unreadable, over a cap; `detailCode` says which. */
export const protocolFailure = (detailCode: string): ExecutionFailure =>
  failureOf('PROVIDER_PROTOCOL_ERROR', detailCode);

/** Keeps the digest of what the upstream wrote (worker 7). */
export const withOriginal = (failure: ExecutionFailure, original: string): ExecutionFailure => ({
  ...failure,
  originalSha256: createHash('sha256').update(original).digest('hex'),
});

/** A refusal by status, or by the error object of a good answer. */
export function classifyRefusal(refusal: UpstreamRefusal): ExecutionFailure {
  const { status, error, retryAfterMs, secret } = refusal;
  const meaning = meaningOf(status, error);
  const failure = failureOf(meaning.code, meaning.detailCode);
  return {
    ...failure,
    message: meaning === badRequest ? (quote(error?.message, secret) ?? failure.message) : failure.message,
    ...(status === undefined ? {} : { httpStatus: status }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

function meaningOf(status: number | undefined, error: UpstreamError | undefined): Meaning {
  const mayBeLong = status === undefined || status === 400 || status === 413;
  const precise = wordOf(PRECISE, error) ?? (mayBeLong && isTooLong(error) ? context : undefined);
  if (status !== undefined) return (status >= 400 && status < 500 ? precise : undefined) ?? byStatus(status);
  const stated = Number(error?.code);
  return precise ?? wordOf(NAMES, error) ?? (stated >= 400 ? byStatus(stated) : broken);
}

function byStatus(status: number): Meaning {
  const known = STATUSES[status];
  if (known !== undefined) return known;
  if (status >= 500 && status < 600) return broken;
  if (status >= 400 && status < 500) return badRequest;
  return protocol(status >= 300 && status < 400 ? 'redirect' : 'status');
}

function wordOf(words: Readonly<Record<string, Meaning>>, error: UpstreamError | undefined): Meaning | undefined {
  for (const word of [error?.code?.toLowerCase(), error?.type?.toLowerCase()]) {
    if (word !== undefined && Object.hasOwn(words, word)) return words[word];
  }
  return undefined;
}

const isTooLong = (error: UpstreamError | undefined): boolean => TOO_LONG.test(error?.message?.slice(0, 4096) ?? '');

function quote(message: string | undefined, secret: string | undefined): string | undefined {
  if (message === undefined) return undefined;
  const said = secret === undefined ? message : message.replaceAll(secret, '***');
  return redactText(said.slice(0, 4 * MESSAGE_CHARS_MAX)).slice(0, MESSAGE_CHARS_MAX);
}

const FAULTS: Readonly<Record<string, Meaning>> = {
  UND_ERR_CONNECT_TIMEOUT: { code: 'CONNECTION_TIMEOUT', detailCode: 'connect' },
  ETIMEDOUT: { code: 'CONNECTION_TIMEOUT', detailCode: 'connect' },
  UND_ERR_HEADERS_OVERFLOW: protocol('headers_too_large'),
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: protocol('truncated'),
  HTTPParserError: protocol('http'),
  ECONNREFUSED: { code: 'NETWORK_ERROR', detailCode: 'refused' },
  ECONNRESET: { code: 'NETWORK_ERROR', detailCode: 'reset' },
  EPIPE: { code: 'NETWORK_ERROR', detailCode: 'reset' },
  ENOTFOUND: { code: 'NETWORK_ERROR', detailCode: 'dns' },
  EAI_AGAIN: { code: 'NETWORK_ERROR', detailCode: 'dns' },
};

/** A fault of the transport by its code, or its name where it has none; `hasHead` tells whether an answer had begun. */
export function classifyFault(code: string, hasHead: boolean): ExecutionFailure {
  const known = Object.hasOwn(FAULTS, code) ? FAULTS[code] : undefined;
  const meaning = known ?? faultBy(code, hasHead);
  return failureOf(meaning.code, meaning.detailCode);
}

function faultBy(code: string, hasHead: boolean): Meaning {
  if (/CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO_/.test(code)) return { code: 'NETWORK_ERROR', detailCode: 'tls' };
  if (code === 'UND_ERR_SOCKET' && hasHead) return protocol('truncated');
  return { code: 'NETWORK_ERROR', detailCode: 'closed' };
}
