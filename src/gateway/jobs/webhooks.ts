// The registered webhooks of a gateway: known by tenant and id, told of the ends of jobs, and looked into by routes.
import { type Bus, type KeyValue } from '../../bus/bus.ts';
import { keyPattern } from '../../contracts/bucket.ts';
import {
  deliveryKey,
  webhookBucket,
  type WebhookDelivery,
  webhookDelivery,
  type WebhookHealth,
} from '../../contracts/webhook-delivery.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Timers } from '../../core/timers.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import { readIfLegal } from './job-records.ts';
import type { JobWatch } from './job-watch.ts';
import { keyOfDelivery, WebhookDeliveries, written } from './webhook-deliveries.ts';
import type { SendWebhook, WebhookEndpoint } from './webhook-endpoint.ts';
import { changeHealth, healthOf, switched } from './webhook-health.ts';
import { resent } from './webhook-retries.ts';
import { WebhookStarter } from './webhook-starter.ts';

export interface WebhookOptions {
  readonly endpoints: readonly WebhookEndpoint[];
  readonly send: SendWebhook;
  readonly gatewayId: string;
  /** A share from 0 to 1, drawn anew. */
  readonly draw: () => number;
}

export interface Webhooks extends AsyncDisposable {
  has(tenantId: string, webhookId: string): boolean;
  of(tenantId: string): readonly WebhookEndpoint[];
  /** The next four throw `not_found` where the tenant has no such webhook. */
  health(tenantId: string, webhookId: string): Promise<WebhookHealth>;
  enable(tenantId: string, webhookId: string, isEnabled: boolean): Promise<WebhookHealth>;
  /** All that are kept, newest first. */
  deliveries(tenantId: string, webhookId: string): Promise<readonly WebhookDelivery[]>;
  /** Begins a new round of tries. Throws `conflict` for a webhook that is disabled and a delivery that is pending. */
  resend(tenantId: string, webhookId: string, eventId: string): Promise<WebhookDelivery>;
}

export interface WebhooksDeps {
  readonly bus: Bus;
  readonly jobs: KeyValue;
  readonly watch: JobWatch;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
}

/** Without an endpoint nothing is opened and nothing is watched. */
export async function openWebhooks(deps: WebhooksDeps, options: WebhookOptions | undefined): Promise<Webhooks> {
  const { endpoints = [] } = options ?? {};
  if (options === undefined || endpoints.length === 0) return NONE;
  const { bus, timers, telemetry } = deps;
  const log = telemetry.log.for('gateway');
  const bucket = await bus.openBucket(webhookBucket);
  const known = new Map(endpoints.map((endpoint) => [`${endpoint.tenantId} ${endpoint.id}`, endpoint]));
  const endpointOf = (tenantId: string, webhookId: string): WebhookEndpoint | undefined =>
    known.get(`${tenantId} ${webhookId}`);
  const results = telemetry.metrics.counter({
    name: 'gateway_webhook_deliveries_total',
    help: 'Tries to tell a webhook, by how they ended.',
    labels: ['result'],
  });
  const deliveries = new WebhookDeliveries({ bucket, timers, log, endpointOf, results, ...options });
  const tenants = new Set(endpoints.map(({ tenantId }) => tenantId));
  const starter = new WebhookStarter({ ...deps, bucket, log, endpointOf, tenants });
  const required = (tenantId: string, webhookId: string): WebhookEndpoint => endpointOf(tenantId, webhookId) ?? none();
  return {
    has: (tenantId, webhookId) => endpointOf(tenantId, webhookId) !== undefined,
    of: (tenantId) => endpoints.filter((endpoint) => endpoint.tenantId === tenantId),
    health: async (tenantId, webhookId) => healthOf(bucket, required(tenantId, webhookId)),
    enable: async (tenantId, webhookId, isEnabled) =>
      changeHealth(bucket, required(tenantId, webhookId), switched(isEnabled, timers.clock.epochMs())),
    async deliveries(tenantId, webhookId) {
      required(tenantId, webhookId);
      const entries = await bucket.entries(keyPattern(tenantId, webhookId, undefined));
      return entries
        .map(({ value }) => readIfLegal(webhookDelivery, value))
        .filter((delivery) => delivery !== undefined)
        .toSorted((a, b) => b.created_at_ms - a.created_at_ms || (a.event_id < b.event_id ? 1 : -1));
    },
    resend: (tenantId, webhookId, eventId) =>
      resend(bucket, required(tenantId, webhookId), { eventId, nowMs: timers.clock.epochMs() }),
    async [Symbol.asyncDispose]() {
      starter[Symbol.dispose]();
      await deliveries[Symbol.asyncDispose]();
    },
  };
}

async function resend(
  bucket: KeyValue,
  endpoint: WebhookEndpoint,
  { eventId, nowMs }: { readonly eventId: string; readonly nowMs: number },
): Promise<WebhookDelivery> {
  const entry = await bucket.get(deliveryKey(endpoint.tenantId, endpoint.id, eventId));
  const delivery = entry === undefined ? undefined : readIfLegal(webhookDelivery, entry.value);
  if (entry === undefined || delivery === undefined) {
    throw new BeamlineError('not_found', 'The webhook has no such delivery.');
  }
  if (delivery.status === 'pending') throw new BeamlineError('conflict', 'The delivery is still pending.');
  if ((await healthOf(bucket, endpoint)).disabled !== undefined) {
    throw new BeamlineError('conflict', 'The webhook is disabled.');
  }
  const again = resent(delivery, nowMs);
  if ((await written(bucket, keyOfDelivery(again), again, entry.revision)) !== undefined) return again;
  throw new BeamlineError('conflict', 'The delivery has changed meanwhile.');
}

function none(): never {
  throw new BeamlineError('not_found', 'The tenant has no such webhook.');
}

const NONE: Webhooks = {
  has: () => false,
  of: () => [],
  health: async () => none(),
  enable: async () => none(),
  deliveries: async () => none(),
  resend: async () => none(),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};
