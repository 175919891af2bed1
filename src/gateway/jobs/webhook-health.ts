// Which endpoints are disabled, and since when one fails (gateway 15.2): 410 disables at once, three days of failure too.
import type { KeyValue } from '../../bus/bus.ts';
import { type WebhookHealth, webhookHealth, webhookKey } from '../../contracts/webhook-delivery.ts';
import { BeamlineError } from '../../core/errors.ts';
import { readIfLegal } from './job-records.ts';
import { digestOfUrl, type WebhookEndpoint } from './webhook-endpoint.ts';

const FAILING_MS_MAX = 3 * 86_400_000;
const TRIES_MAX = 5;

export type HealthChange = (health: WebhookHealth) => WebhookHealth | undefined;

/** As it stands now; of an address that was not known before: healthy. */
export async function healthOf(bucket: KeyValue, endpoint: WebhookEndpoint): Promise<WebhookHealth> {
  return (await read(bucket, endpoint)).health;
}

/** Applies a change that may be repeated; one that gives undefined changes nothing. Resolves with what is there then. */
export async function changeHealth(
  bucket: KeyValue,
  endpoint: WebhookEndpoint,
  change: HealthChange,
): Promise<WebhookHealth> {
  for (let tries = 1; ; tries++) {
    // eslint-disable-next-line no-await-in-loop -- reads what somebody else wrote meanwhile
    const { health, revision } = await read(bucket, endpoint);
    const next = change(health);
    if (next === undefined) return health;
    try {
      // eslint-disable-next-line no-await-in-loop -- as above
      await bucket.update(webhookKey(endpoint.tenantId, endpoint.id), JSON.stringify(next), revision);
      return next;
    } catch (fault) {
      if (BeamlineError.from(fault).code !== 'precondition_failed' || tries === TRIES_MAX) throw fault;
    }
  }
}

async function read(
  bucket: KeyValue,
  { tenantId, id, url }: WebhookEndpoint,
): Promise<{ readonly health: WebhookHealth; readonly revision: number }> {
  const entry = await bucket.get(webhookKey(tenantId, id));
  const known = entry === undefined ? undefined : readIfLegal(webhookHealth, entry.value);
  const url_digest = digestOfUrl(url);
  const revision = entry?.revision ?? 0;
  if (known?.url_digest === url_digest) return { health: known, revision };
  return { health: { version: '2', tenant_id: tenantId, webhook_id: id, url_digest }, revision };
}

export const gone =
  (nowMs: number): HealthChange =>
  (health) =>
    health.disabled === undefined ? { ...health, disabled: { reason: 'gone', at_ms: nowMs } } : undefined;

export const failing =
  (nowMs: number): HealthChange =>
  (health) => {
    const sinceMs = health.failing_since_ms;
    if (sinceMs === undefined) return { ...health, failing_since_ms: nowMs };
    if (health.disabled !== undefined || nowMs - sinceMs < FAILING_MS_MAX) return undefined;
    return { ...health, disabled: { reason: 'failing', at_ms: nowMs } };
  };

export const succeeding: HealthChange = ({ failing_since_ms, ...health }) =>
  failing_since_ms === undefined ? undefined : health;

/** By hand. An endpoint that is enabled starts anew. */
export const switched =
  (isEnabled: boolean, nowMs: number): HealthChange =>
  (known) => {
    const { disabled, failing_since_ms: _, ...health } = known;
    if (!isEnabled)
      return disabled === undefined ? { ...health, disabled: { reason: 'manual', at_ms: nowMs } } : undefined;
    return health;
  };
