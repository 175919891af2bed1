// The wiring of webhooks: endpoints of the configuration with their secrets, and the guarded way out.
import type { Config } from '../config/schema.ts';
import { BeamlineError } from '../core/errors.ts';
import { newProcessId } from '../core/ids.ts';
import { type SendWebhook, signingKey, type WebhookEndpoint } from '../gateway/jobs/webhook-endpoint.ts';
import type { WebhookOptions } from '../gateway/jobs/webhooks.ts';
import { Egress } from '../provider/egress.ts';
import { parseEgressAllow } from '../provider/egress-allow.ts';
import { checkUrl } from '../provider/egress-url.ts';
import type { Ground } from './ground.ts';
import { requiredSecret } from './secret.ts';

type WebhookSetting = Config['gateway']['webhooks'][number];

const CONNECT_MS = 5_000;
const ANSWER_BYTES_MAX = 1_048_576;
/** Webhooks go to public addresses only, whatever the operator opens for the work of jobs. */
const PUBLIC_ONLY = parseEgressAllow([]);

/** Undefined where no webhook is configured. Throws `validation_failed` for one whose address or secret cannot be used. */
export function openWebhookSender(
  { config, timers }: Ground,
  opening: AsyncDisposableStack,
): WebhookOptions | undefined {
  const { webhooks } = config.gateway;
  if (webhooks.length === 0) return undefined;
  const endpoints = webhooks.map((webhook, index) =>
    endpointOf(webhook, index, (setting, ref) => requiredSecret(setting, ref, timers.clock)),
  );
  const egress = opening.use(new Egress({ allow: PUBLIC_ONLY, timers, connectMs: CONNECT_MS }));
  return { endpoints, send: sendOver(egress), gatewayId: newProcessId('gateway'), draw: Math.random };
}

function endpointOf(
  { id, tenant, url, secrets, events, include_result }: WebhookSetting,
  index: number,
  open: (setting: string, ref: string) => () => string | undefined,
): WebhookEndpoint {
  const setting = `gateway.webhooks[${index}]`;
  const destination = checkUrl(url, PUBLIC_ONLY);
  if (destination.kind === 'denied') throw unusable(`${setting}.url may not be called: ${destination.reason}`);
  const opened = secrets.map((ref, at) => open(`${setting}.secrets[${at}]`, ref));
  const wrong = opened.findIndex((secret) => signingKey(secret() ?? '') === undefined);
  if (wrong >= 0) throw unusable(`${setting}.secrets[${wrong}] is not whsec_ and a key in base64`);
  return { id, tenantId: tenant, url, secrets: opened, events: new Set(events), includeResult: include_result };
}

const unusable = (message: string): BeamlineError =>
  new BeamlineError('validation_failed', message, { details: { reason: 'configuration' } });

export const sendOver =
  (egress: Pick<Egress, 'send'>): SendWebhook =>
  async ({ url, headers, body, signal }) => {
    const answer = await egress.send({
      method: 'POST',
      url,
      headers,
      credentials: {},
      body: new TextEncoder().encode(body),
      redirectsMax: 0,
      maxBodyBytes: ANSWER_BYTES_MAX,
      signal,
    });
    const retryAfter = answer.headers['retry-after'];
    return { status: answer.status, retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined };
  };
