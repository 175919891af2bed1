// What an exchange with the policy store means (policy 12.2): good, refused, or failed and whether to try again.
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { parseGuarded } from '../core/json-guard.ts';
import type { Exchange } from './heir-wire.ts';

/** An answer that says something about the request: 2xx, or a 4xx that a repetition would not change. */
export interface HeirAnswer {
  readonly status: number;
  /** Parsed JSON; undefined without a body, and in a 4xx also where it is not JSON. */
  readonly body: unknown;
  readonly bytes: number;
  readonly etag: string | undefined;
}

export type Judged =
  | { readonly kind: 'good'; readonly answer: HeirAnswer }
  /** Our credential is refused; repeating does not help. */
  | { readonly kind: 'refused'; readonly status: number }
  | {
      readonly kind: 'failed';
      readonly reason: string;
      readonly status?: number;
      readonly mayRepeat: boolean;
      /** What the store asked for, at most a minute; 0 when it did not ask. */
      readonly retryAfterMs: number;
      readonly fault?: unknown;
    };

const JSON_LIMITS = { depthMax: 80, valuesMax: 4_000_000 };
const RETRY_AFTER_MAX_MS = 60_000;

export function judge(exchange: Exchange, method: 'GET' | 'PUT' | 'DELETE', clock: Clock): Judged {
  if (exchange.kind === 'failed') {
    const mayRepeat = method === 'GET' || !exchange.wasSent;
    return { kind: 'failed', reason: exchange.reason, mayRepeat, retryAfterMs: 0, fault: exchange.fault };
  }
  const { message, bytes } = exchange;
  const status = message.statusCode ?? 0;
  const failed = (reason: string): Judged => {
    const retryAfterMs = readRetryAfter(message.headers['retry-after'], clock);
    return { kind: 'failed', reason, status, mayRepeat: method === 'GET', retryAfterMs };
  };
  if (status === 401 || status === 403) return { kind: 'refused', status };
  if (status === 429 || status >= 500) return failed('status');
  const isGood = status === 200 || status === 201 || status === 204;
  if (!isGood && (status < 400 || status > 499)) return failed('unexpected_status');
  const { etag } = message.headers;
  if (status === 204) return { kind: 'good', answer: { status, body: undefined, bytes: 0, etag } };
  const parsed = parseGuarded(bytes, JSON_LIMITS);
  if (isGood && !parsed.ok) return failed(`unreadable_${parsed.fault}`);
  const body = parsed.ok ? parsed.value : undefined;
  return { kind: 'good', answer: { status, body, bytes: bytes.length, etag } };
}

/** Seconds or an HTTP date, as milliseconds from now. */
function readRetryAfter(value: string | undefined, clock: Clock): number {
  if (value === undefined) return 0;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - clock.epochMs();
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), RETRY_AFTER_MAX_MS);
}

/** `details.reason` says why; `details.status` is what the store answered, if it did. */
export function unavailable(
  reason: string,
  { status, retryAfterMs = 0, fault }: { status?: number; retryAfterMs?: number; fault?: unknown } = {},
): BeamlineError {
  return new BeamlineError('unavailable', 'the policy store does not answer', {
    details: status === undefined ? { reason } : { reason, status },
    ...(retryAfterMs === 0 ? {} : { retryAfterMs }),
    ...(fault === undefined ? {} : { cause: fault }),
  });
}
