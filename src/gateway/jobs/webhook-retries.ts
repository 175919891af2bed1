// When a delivery that failed is tried again (gateway 15.2). Pure.
import type { WebhookDelivery } from '../../contracts/webhook-delivery.ts';

const S = 1_000;
const MIN = 60 * S;
const H = 60 * MIN;
/** Waits after the first, the second ... failed try. */
const DELAYS_MS = [5 * S, 5 * MIN, 30 * MIN, 2 * H, 5 * H, 10 * H, 14 * H, 20 * H];
const JITTER = 0.2;
const RETRY_AFTER_MS_MAX = 24 * H;
const TRIES_KEPT = 16;

export interface Try {
  readonly atMs: number;
  readonly httpStatus?: number;
  readonly error?: string;
  readonly retryAfterMs?: number;
}

/** The delivery after a try that failed; dead after the last one, or at once where no further one can succeed. */
export function failed(
  delivery: WebhookDelivery,
  tried: Try,
  options: { draw: number; isFinal: boolean },
): WebhookDelivery {
  const { atMs, retryAfterMs = 0 } = tried;
  const told = withTry(delivery, tried);
  const delayMs = DELAYS_MS[delivery.attempt - 1];
  if (delayMs === undefined || options.isFinal) return { ...told, status: 'dead', ended_at_ms: atMs };
  const waitMs = Math.max(delayMs * (1 + JITTER * options.draw), Math.min(retryAfterMs, RETRY_AFTER_MS_MAX));
  return { ...told, next_at_ms: Math.ceil(atMs + waitMs) };
}

export const delivered = (delivery: WebhookDelivery, tried: Try): WebhookDelivery => ({
  ...withTry(delivery, tried),
  status: 'delivered',
  ended_at_ms: tried.atMs,
});

/** A new round, from now on. */
export function resent(delivery: WebhookDelivery, nowMs: number): WebhookDelivery {
  const { lease: _, ended_at_ms: __, ...rest } = delivery;
  return { ...rest, status: 'pending', attempt: 0, next_at_ms: nowMs };
}

/** `retry-after` in seconds or as a date; undefined for what is neither. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * S;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}

/** The claim is over with the try. */
function withTry(claimed: WebhookDelivery, { atMs, httpStatus, error }: Try): WebhookDelivery {
  const { lease: _, ...delivery } = claimed;
  const tried = {
    at_ms: atMs,
    ...(httpStatus === undefined ? {} : { http_status: httpStatus }),
    ...(error === undefined ? {} : { error: error.slice(0, 256) }),
  };
  return { ...delivery, tries: [...delivery.tries, tried].slice(-TRIES_KEPT) };
}
