// A registered webhook: where it is, how what it gets is signed, and what it wants to hear (gateway 15.2).
import { createHash, createHmac } from 'node:crypto';

export const WEBHOOK_EVENTS = ['job.completed', 'job.failed', 'job.cancelled', 'job.expired'] as const;
export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number];

export interface WebhookEndpoint {
  readonly id: string;
  readonly tenantId: string;
  readonly url: string;
  /** One, or two during a rotation; each `whsec_` and the key in base64, undefined while it is missing. */
  readonly secrets: readonly (() => string | undefined)[];
  readonly events: ReadonlySet<WebhookEvent>;
  readonly includeResult: boolean;
}

export interface WebhookRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Aborted when the time of the try is over. */
  readonly signal: AbortSignal;
}

export interface WebhookAnswer {
  readonly status: number;
  /** The header as it came. */
  readonly retryAfter: string | undefined;
}

/**
 * Sends to an address that callers cannot choose freely, and only to public ones; follows no redirect. Rejects with an
 * error whose message may be shown.
 */
export type SendWebhook = (request: WebhookRequest) => Promise<WebhookAnswer>;

const SECRET = /^whsec_([A-Za-z0-9+/]{32,88}={0,2})$/;

/** The key in a secret; undefined for a text that is none. */
export function signingKey(secret: string): Buffer | undefined {
  const encoded = SECRET.exec(secret)?.[1];
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64');
}

/** Standard Webhooks 1.0: every secret signs `id.timestamp.body`. Undefined when there is no legal secret. */
export function signed(
  { secrets }: Pick<WebhookEndpoint, 'secrets'>,
  { id, timestampS, body }: { readonly id: string; readonly timestampS: number; readonly body: string },
): Readonly<Record<string, string>> | undefined {
  const signatures = secrets.flatMap((secret) => {
    const key = signingKey(secret() ?? '');
    if (key === undefined) return [];
    return [`v1,${createHmac('sha256', key).update(`${id}.${timestampS}.${body}`).digest('base64')}`];
  });
  if (signatures.length === 0) return undefined;
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestampS),
    'webhook-signature': signatures.join(' '),
  };
}

export const digestOfUrl = (url: string): string => createHash('sha256').update(url).digest('hex');
