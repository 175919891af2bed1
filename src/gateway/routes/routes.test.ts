import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { BusState } from '../../bus/bus.ts';
import type { DecideRequest, DecideResponse } from '../../contracts/decide.ts';
import { openEdge } from '../edge-fixture.ts';
import { openApiDocument } from '../openapi.ts';
import { routeTable } from '../route-table.ts';

let bus: BusState = 'connected';
let asked: { request: Omit<DecideRequest, 'version'>; timeoutMs: number } | undefined;
let reply: DecideResponse = { version: '2', ok: true, context: {} };
const edge = await openEdge({
  busState: () => bus,
  decide(request, timeoutMs) {
    asked = { request, timeoutMs };
    return Promise.resolve(reply);
  },
});
after(() => edge[Symbol.asyncDispose]());

type Json = Record<string, Record<string, unknown>>;

async function decide(body: object): Promise<{ status: number; json: Json }> {
  const response = await fetch(`${edge.url}/api/v1/routes/decide`, {
    method: 'POST',
    headers: edge.headers,
    body: JSON.stringify(body),
  });
  return { status: response.status, json: (await response.json()) as Json };
}

const task = { type: 'chat.completion', payload: { messages: [] } };

test('a decision is asked for without a push, and told with its context', async () => {
  reply = {
    version: '2',
    ok: true,
    decision: {
      provider_id: 'birch',
      reason: 'weighted',
      priority: 50,
      policy_id: 'support',
      policy_revision: 12,
      fallback_used: false,
    },
    context: {},
  };
  const { status, json } = await decide({
    policy_id: 'support',
    task,
    context: { session_id: 's-42' },
    constraints: { max_latency_ms: 2500 },
    options: { explain: true },
    deadline_ms: 700,
    unknown: 1,
  });
  assert.equal(status, 200);
  assert.deepEqual(
    [json['ok'], json['decision']?.['provider_id'], json['context']?.['tenant_id']],
    [true, 'birch', 'acme'],
  );
  const { request_id, trace_id, ...rest } = asked?.request ?? { request_id: '', trace_id: '' };
  assert.deepEqual([json['context']?.['request_id'], json['context']?.['trace_id']], [request_id, trace_id]);
  assert.equal(asked?.timeoutMs, 700);
  assert.deepEqual(rest, {
    tenant_id: 'acme',
    push_assignment: false,
    deadline_ms: 700,
    options: { explain: 'detailed' },
    principal: { key_id: 'key_1', scopes: ['ai:invoke'] },
    task,
    policy_id: 'support',
    context: { session_id: 's-42' },
    constraints: { max_latency_ms: 2500 },
  });
});

test('a refusal of the router keeps its code and intake code', async () => {
  reply = {
    version: '2',
    ok: false,
    error: { code: 'invalid_request', message: 'no', retryable: false, intake_error_code: 'VERSION_UNSUPPORTED' },
    context: {},
  };
  const { status, json } = await decide({ task });
  assert.deepEqual([status, json['error']?.['intake_error_code']], [400, 'VERSION_UNSUPPORTED']);
});

for (const [name, body, status, code] of [
  ['a push', { task, push_assignment: true }, 501, 'not_implemented'],
  ['another tenant', { task, tenant_id: 'zeta' }, 403, 'forbidden'],
  ['no task', {}, 400, 'invalid_request'],
  ['an explain that is a text', { task, options: { explain: 'yes' } }, 400, 'invalid_request'],
  ['a deadline of nothing', { task, deadline_ms: 0 }, 400, 'invalid_request'],
] as const) {
  test(`a decide body with ${name} is answered ${status} ${code}`, async () => {
    const answer = await decide(body);
    assert.deepEqual([answer.status, answer.json['error']?.['code']], [status, code]);
  });
}

const HEALTH: readonly (readonly [string, number, string])[] = [
  ['/livez', 200, 'ok'],
  ['/healthz', 200, 'ok'],
  ['/health/live', 200, 'ok'],
  ['/health/liveness', 200, 'ok'],
  ['/health/liveliness', 200, 'ok'],
  ['/readyz', 503, 'not_ready'],
  ['/_readyz', 503, 'not_ready'],
  ['/ready', 503, 'not_ready'],
  ['/health/ready', 503, 'not_ready'],
  ['/health/readiness', 503, 'not_ready'],
  ['/health', 503, 'unhealthy'],
  ['/_health', 503, 'unhealthy'],
];

for (const [path, lost, word] of HEALTH) {
  test(`${path} is 200, and ${lost} while the bus is lost`, async () => {
    const good = await fetch(edge.url + path);
    assert.equal(good.status, 200);
    await good.text();
    bus = 'reconnecting';
    try {
      const bad = await fetch(edge.url + path);
      assert.deepEqual([bad.status, ((await bad.json()) as Json)['status']], [lost, word]);
    } finally {
      bus = 'connected';
    }
  });
}

test('metrics are text of version 0.0.4 and know the bus', async () => {
  const response = await fetch(`${edge.url}/metrics`);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.match(await response.text(), /^gateway_bus_connected 1$/m);
});

test('every route is declared once, and stands in the OpenAPI document with permission, release, codes and schemas', () => {
  const { paths } = openApiDocument() as { paths: Record<string, Record<string, Json>> };
  const seen = new Set<string>();
  for (const route of routeTable) {
    const name = `${route.method} ${route.path}`;
    assert.ok(!seen.has(name), `${name} is declared twice`);
    seen.add(name);
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}').replace('*', '{rest}');
    const operation = paths[path]?.[route.method.toLowerCase()];
    assert.ok(operation, `${name} is missing`);
    assert.ok(operation['x-permission'] && operation['x-release'] && operation['x-error-codes'], name);
    const needsBody = route.method === 'POST' && !BODILESS.has(name) && !isPromise(route.errors);
    assert.equal(needsBody && !operation['requestBody'], false, name);
  }
  const operations = Object.values(paths).flatMap((methods) => Object.keys(methods));
  assert.equal(operations.length, routeTable.length);
});

/** What they do is said by their path. */
const BODILESS = new Set([
  'POST /api/v1/dlq/:id/replay',
  'POST /api/v1/extensions/:id/breaker/reset',
  'POST /api/v1/providers/:id/breaker/reset',
  ...['jobs', 'messages'].flatMap((base) => [`POST /api/v1/${base}/:id/retry`, `POST /api/v1/${base}/:id/cancel`]),
  'POST /api/v1/webhooks/:id/deliveries/:event/resend',
]);

const isPromise = (errors: readonly string[]): boolean => errors.includes('not_implemented');

test('every route of the table is served: none is an unknown path', async () => {
  const statuses = await Promise.all(
    routeTable.map(async ({ method, path }) => {
      const response = await fetch(edge.url + path.replaceAll(':', '').replace('*', 'some/name'), { method });
      await response.text();
      return response.status;
    }),
  );
  assert.deepEqual(
    statuses,
    routeTable.map(({ access }) => (access === 'public' ? 200 : 401)),
  );
});

test('the document has an etag that saves sending it again', async () => {
  const first = await fetch(`${edge.url}/api/openapi.json`);
  const document = (await first.json()) as { openapi: string };
  const etag = first.headers.get('etag') ?? '';
  const again = await fetch(`${edge.url}/api/openapi.json`, { headers: { 'if-none-match': etag } });
  assert.deepEqual([document.openapi, again.status, await again.text()], ['3.1.0', 304, '']);
});
