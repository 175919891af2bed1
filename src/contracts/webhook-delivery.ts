// What is to be told to a registered webhook, and how telling it went (gateway 15.2), as a bucket keeps it.
// D1. A delivery is created once for a job, an endpoint and an event; it is claimed by compare-and-set before each try.
import { Type } from 'typebox';
import { type BucketSpec, keyOf } from './bucket.ts';
import { payload } from './contract.ts';
import { Count, Id, maybe, Text } from './fields.ts';

const DAY_MS = 86_400_000;

/** Longer than the last try is away from the first, so that what became of it can be read. */
export const webhookBucket: BucketSpec = { name: 'webhooks', ttlMs: 30 * DAY_MS, bytesMax: 1024 ** 3 };
export const deliveryKey = (tenantId: string, webhookId: string, eventId: string): string =>
  keyOf(tenantId, webhookId, eventId);
/** The key of an endpoint has one token less than those of its deliveries. */
export const webhookKey = (tenantId: string, webhookId: string): string => keyOf(tenantId, webhookId);

const WebhookDelivery = Type.Object({
  version: Type.Literal('2'),
  // `evt_` and what follows from job, endpoint and event: the `webhook-id` of every try.
  event_id: Id,
  tenant_id: Id,
  webhook_id: Id,
  job_id: Id,
  // For example `job.completed`.
  type: Id,
  status: Type.Enum(['pending', 'delivered', 'dead']),
  // As it is sent, byte by byte the same each time.
  body: Type.String({ minLength: 1, maxLength: 65_536 }),
  // Of this round; a resend begins a new one.
  attempt: Count,
  next_at_ms: Count,
  lease: maybe(Type.Object({ gateway_id: Id, until_ms: Count })),
  // The newest tries, oldest first.
  tries: Type.Array(Type.Object({ at_ms: Count, http_status: maybe(Count), error: maybe(Text) }), { maxItems: 16 }),
  created_at_ms: Count,
  ended_at_ms: maybe(Count),
});
export type WebhookDelivery = Type.Static<typeof WebhookDelivery>;

/** What is known of an endpoint beyond its configuration. */
const WebhookHealth = Type.Object({
  version: Type.Literal('2'),
  tenant_id: Id,
  webhook_id: Id,
  // SHA-256 in hex of the address that this is about: another address starts anew.
  url_digest: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  failing_since_ms: maybe(Count),
  disabled: maybe(Type.Object({ reason: Type.Enum(['gone', 'failing', 'manual']), at_ms: Count })),
});
export type WebhookHealth = Type.Static<typeof WebhookHealth>;

export const webhookDelivery = payload('beamline.webhook.Delivery', '2', WebhookDelivery);
export const webhookHealth = payload('beamline.webhook.Health', '2', WebhookHealth);
