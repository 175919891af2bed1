// Serves a model provider on a NATS connection that the caller opened: a question in, one whole answer out.
// It has no dependency of its own; any connection of the NATS client for JavaScript fits `Connection`.
import type { Connection } from './extension-server.ts';

type Members = Record<string, unknown>;

/** What a worker asks. Names are those of the wire. */
export interface ProviderRequest {
  readonly version: '1';
  readonly provider_id: string;
  readonly tenant_id: string;
  readonly request_id: string;
  /** One of the two. */
  readonly messages?: readonly Members[];
  readonly prompt?: string;
  /** `model`, `max_tokens`, `temperature` and what else the caller said, by OpenAI's names. */
  readonly parameters: Members;
  /** `settings` of the provider in Beamline's configuration, or `config` of the registered one. */
  readonly config?: Members;
  /** Milliseconds that are left; an answer after it is not read. */
  readonly deadline_ms?: number;
  readonly trace_id?: string;
}

export interface ProviderAnswer {
  /** The text, or a message with `content` or `tool_calls`. */
  readonly output: string | Members;
  /** Absent: Beamline estimates, and says so in its bills. */
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number };
  readonly metadata?: { readonly model?: string; readonly finish_reason?: string };
}

export interface ProviderService {
  /** As in `providers.list` of Beamline's configuration, or as it is registered. */
  readonly id: string;
  /** The signal is aborted when the time of the request is over. */
  answer(request: ProviderRequest, signal: AbortSignal): ProviderAnswer | Promise<ProviderAnswer>;
}

/**
 * Thrown by `answer`, for example with `rate_limited`, `unavailable`, `timeout`, `invalid_request`, `content_blocked`,
 * `context_length_exceeded` or `model_not_found`; with a code of your own `retryable` says whether others are tried.
 */
export class ProviderFailure extends Error {
  override readonly name = 'ProviderFailure';
  readonly code: string;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, options: { retryable?: boolean; retryAfterMs?: number } = {}) {
    super(message);
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.retryAfterMs = options.retryAfterMs;
  }
}

const ID = /^[\x21-\x7e]{1,128}$/;
/** Of a request that says none. */
const DEADLINE_MS = 300_000;

/** Answers until `close`. Several servers of one provider share its requests. Throws `TypeError` for an illegal id. */
export function serveProvider(connection: Connection, service: ProviderService): { close(): void } {
  const { id } = service;
  if (!ID.test(id)) throw new TypeError(`a provider id is 1 to 128 printable characters, not ${JSON.stringify(id)}`);
  const subscription = connection.subscribe(`beamline.provider.${tokenOf(id)}.v1`, {
    queue: 'provider',
    callback(fault, message) {
      if (fault === null) void reply(service, message.data).then((data) => message.respond(data));
    },
  });
  return { close: () => subscription.unsubscribe() };
}

/** An id as one token of a subject. */
const tokenOf = (id: string): string =>
  id.replace(/[^A-Za-z0-9_-]/g, (char) => `=${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);

const encode = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

const failed = ({ id }: ProviderService, error: Members): Uint8Array => encode({ ok: false, provider_id: id, error });

async function reply(service: ProviderService, data: Uint8Array): Promise<Uint8Array> {
  let request: ProviderRequest;
  try {
    request = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data)) as ProviderRequest;
  } catch {
    return failed(service, { code: 'invalid_payload', message: 'the request is not JSON' });
  }
  try {
    const answer = await service.answer(request, AbortSignal.timeout(request.deadline_ms ?? DEADLINE_MS));
    return encode({ ok: true, provider_id: service.id, ...answer });
  } catch (fault) {
    return failed(service, errorOf(fault));
  }
}

/** Only a `ProviderFailure` speaks; the words of other faults may hold what is nobody's business. */
function errorOf(fault: unknown): Members {
  if (!(fault instanceof ProviderFailure)) return { code: 'processing_error', message: 'the provider failed' };
  const { code, message, retryable, retryAfterMs } = fault;
  return {
    code,
    message: message.slice(0, 1_024),
    retryable,
    ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
  };
}
