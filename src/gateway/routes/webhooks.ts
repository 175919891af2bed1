// Registered webhooks (gateway 14.4, 15.2): which there are, whether they are enabled, and what they were told.
// They come from the configuration, so they are not made, changed or removed here.
import type { WebhookDelivery, WebhookHealth } from '../../contracts/webhook-delivery.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Call } from '../call.ts';
import { textIn } from '../jobs/job-fields.ts';
import { timeOf } from '../jobs/job-view.ts';
import type { Jobs } from '../jobs/jobs.ts';
import { WEBHOOK_EVENTS, type WebhookEndpoint } from '../jobs/webhook-endpoint.ts';
import { readJson } from '../read-body.ts';
import type { JsonSchema, Route } from '../route.ts';
import { type JobNeeds, placeToScan, queryOf } from './jobs.ts';
import { invalidField, pageOf } from './policies-request.ts';

const BASE = '/api/v1/webhooks';
const EVENT = /^evt_[0-9A-Z]{26}$/;
const STATUSES = ['pending', 'delivered', 'dead'];

const text = { type: 'string' };
const integer = { type: 'integer' };
const flag = { type: 'boolean' };
const webhookSchema: JsonSchema = {
  type: 'object',
  required: ['id', 'tenant_id', 'url', 'events', 'include_result', 'enabled'],
  properties: {
    id: text,
    tenant_id: text,
    url: { type: 'string', description: 'Without its query.' },
    events: { type: 'array', items: { enum: [...WEBHOOK_EVENTS] } },
    include_result: flag,
    enabled: flag,
    disabled: { type: 'object', properties: { reason: { enum: ['gone', 'failing', 'manual'] }, at: text } },
    failing_since: text,
  },
};
const deliverySchema: JsonSchema = {
  type: 'object',
  required: ['id', 'job_id', 'type', 'status', 'attempt', 'tries', 'created_at'],
  properties: {
    id: text,
    job_id: text,
    type: text,
    status: { enum: STATUSES },
    attempt: integer,
    next_at: text,
    tries: { type: 'array', items: { type: 'object', properties: { at: text, http_status: integer, error: text } } },
    created_at: text,
    ended_at: text,
  },
};
const listOf = (items: JsonSchema): JsonSchema => ({
  type: 'object',
  required: ['data', 'pagination'],
  properties: { data: { type: 'array', items }, pagination: { type: 'object' } },
});

function shown({ id, tenantId, url, events, includeResult }: WebhookEndpoint, health: WebhookHealth) {
  const { origin, pathname } = new URL(url);
  const { disabled, failing_since_ms } = health;
  return {
    id,
    tenant_id: tenantId,
    url: `${origin}${pathname}`,
    events: [...events],
    include_result: includeResult,
    enabled: disabled === undefined,
    ...(disabled === undefined ? {} : { disabled: { reason: disabled.reason, at: timeOf(disabled.at_ms) } }),
    ...(failing_since_ms === undefined ? {} : { failing_since: timeOf(failing_since_ms) }),
  };
}

const shownDelivery = (delivery: WebhookDelivery) => ({
  id: delivery.event_id,
  job_id: delivery.job_id,
  type: delivery.type,
  status: delivery.status,
  attempt: delivery.attempt,
  ...(delivery.status === 'pending' ? { next_at: timeOf(delivery.next_at_ms) } : {}),
  tries: delivery.tries.map(({ at_ms, http_status, error }) => ({ at: timeOf(at_ms), http_status, error })),
  created_at: timeOf(delivery.created_at_ms),
  ...(delivery.ended_at_ms === undefined ? {} : { ended_at: timeOf(delivery.ended_at_ms) }),
});

function requireEndpoint({ webhooks }: Jobs, { tenantId }: Call, id: string): WebhookEndpoint {
  const endpoint = webhooks.of(tenantId).find((one) => one.id === id);
  if (endpoint === undefined) throw new BeamlineError('not_found', 'The tenant has no such webhook.');
  return endpoint;
}

const list: Route<JobNeeds> = {
  method: 'GET',
  path: BASE,
  release: 'P1',
  access: 'webhook:write',
  summary: 'The webhooks of the tenant, as they are configured.',
  response: listOf(webhookSchema),
  errors: [],
  async handle(call, { jobs: { webhooks } }) {
    const own = webhooks.of(call.tenantId);
    const data = await Promise.all(
      own.map(async (endpoint) => shown(endpoint, await webhooks.health(call.tenantId, endpoint.id))),
    );
    // There are never more than the configuration holds.
    call.json(200, { data, pagination: { limit: data.length, next_cursor: null, has_more: false } });
  },
};

const read: Route<JobNeeds> = {
  method: 'GET',
  path: `${BASE}/:id`,
  release: 'P1',
  access: 'webhook:write',
  summary: 'One webhook.',
  response: webhookSchema,
  errors: ['not_found'],
  async handle(call, { jobs }, { id = '' }) {
    const endpoint = requireEndpoint(jobs, call, id);
    call.json(200, shown(endpoint, await jobs.webhooks.health(call.tenantId, id)));
  },
};

const enable: Route<JobNeeds> = {
  method: 'PATCH',
  path: `${BASE}/:id`,
  release: 'P1',
  access: 'webhook:write',
  summary: 'Enable or disable a webhook; the rest of it stands in the configuration.',
  request: { type: 'object', required: ['enabled'], properties: { enabled: flag }, additionalProperties: false },
  response: webhookSchema,
  errors: ['not_found'],
  async handle(call, { jobs, bodyLimits }, { id = '' }) {
    const { value: body } = await readJson(call, bodyLimits.native);
    const alien = Object.keys(body).find((name) => name !== 'enabled');
    if (alien !== undefined) throw invalidField(alien.slice(0, 64), 'stands in the configuration');
    const { enabled } = body;
    if (typeof enabled !== 'boolean') throw invalidField('enabled', 'must be true or false');
    const endpoint = requireEndpoint(jobs, call, id);
    call.json(200, shown(endpoint, await jobs.webhooks.enable(call.tenantId, id, enabled)));
  },
};

const deliveries: Route<JobNeeds> = {
  method: 'GET',
  path: `${BASE}/:id/deliveries`,
  release: 'P1',
  access: 'webhook:write',
  summary: 'What a webhook was told and will be told, newest first. Filter: status. Reads all its deliveries.',
  response: listOf(deliverySchema),
  errors: ['not_found'],
  async handle(call, { jobs }, { id = '' }) {
    const { limit, cursor } = pageOf(call);
    const status = textIn(queryOf(call), 'status');
    if (status !== undefined && !STATUSES.includes(status)) {
      throw invalidField('status', `must be one of ${STATUSES.join(', ')}`);
    }
    requireEndpoint(jobs, call, id);
    using place = placeToScan(jobs, call.tenantId);
    void place;
    const all = (await jobs.webhooks.deliveries(call.tenantId, id)).filter(
      (delivery) => status === undefined || delivery.status === status,
    );
    const from = cursor === undefined ? 0 : placeAfter(all, cursor);
    const page = all.slice(from, from + limit);
    const hasMore = from + limit < all.length;
    const last = page.at(-1);
    const next = hasMore && last !== undefined ? `${last.created_at_ms}.${last.event_id}` : null;
    call.json(200, {
      data: page.map(shownDelivery),
      pagination: { limit, next_cursor: next, has_more: hasMore },
    });
  },
};

/** Index of the first one after the cursor, whether or not the one that it names is still there. */
function placeAfter(all: readonly WebhookDelivery[], cursor: string): number {
  const [, created, id] = /^(\d{1,16})\.(evt_[0-9A-Z]{26})$/.exec(cursor) ?? [];
  if (created === undefined || id === undefined) throw invalidField('cursor', 'must be one that a list gave');
  const ms = Number(created);
  const index = all.findIndex(
    ({ created_at_ms, event_id }) => created_at_ms < ms || (created_at_ms === ms && event_id < id),
  );
  return index < 0 ? all.length : index;
}

const resend: Route<JobNeeds> = {
  method: 'POST',
  path: `${BASE}/:id/deliveries/:event/resend`,
  release: 'P1',
  access: 'webhook:write',
  summary: 'Tell a webhook again what was delivered or given up, under the same id.',
  response: deliverySchema,
  statuses: [202],
  errors: ['not_found', 'conflict'],
  async handle(call, { jobs }, { id = '', event = '' }) {
    requireEndpoint(jobs, call, id);
    if (!EVENT.test(event)) throw new BeamlineError('not_found', 'The webhook has no such delivery.');
    call.json(202, shownDelivery(await jobs.webhooks.resend(call.tenantId, id, event)));
  },
};

export const webhookRoutes: readonly Route<JobNeeds>[] = [list, read, enable, deliveries, resend];
