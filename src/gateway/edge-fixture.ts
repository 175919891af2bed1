// Starts a gateway on a free port of the loopback for tests, with exchanges that a script answers.
import { setTimeout as pause } from 'node:timers/promises';
import { generateApiKey, hashApiKey } from '../auth/api-key.ts';
import { openAuthenticator } from '../auth/authenticator.ts';
import type { Authenticator, Role } from '../auth/principal.ts';
import type { Bus } from '../bus/bus.ts';
import { openBucketBlobs } from '../bus/bucket-blobs.ts';
import { openMemoryBus } from '../bus/memory.ts';
import type { Budget } from '../contracts/budget.ts';
import type { CancelReason } from '../contracts/cancel.ts';
import type { EndFrame } from '../contracts/frames.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { BudgetDefinitions } from '../limit/budget-definitions.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { BudgetBook } from './budget-book.ts';
import { type Gateway, type GatewayDeps, startGateway } from './gateway.ts';
import { type Jobs, type JobSettings, openJobs } from './jobs/jobs.ts';
import type { WebhookOptions } from './jobs/webhooks.ts';
import { openLetterDesk } from './letter-desk.ts';
import type { Exchanges, Order, Reader, Routed } from './order.ts';
import type { GatewaySettings } from './settings.ts';

/** One order that came through the edge, and the hand that answers it. */
export interface Ordered {
  readonly order: Order;
  readonly reader: Reader;
  cancelled: CancelReason | undefined;
}

export interface EdgeFixture extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly jobs: Jobs;
  readonly url: string;
  readonly key: string;
  readonly authenticator: Authenticator;
  /** `authorization` with the key, and the content type of a JSON body. */
  readonly headers: Readonly<Record<string, string>>;
  readonly orders: Ordered[];
  readonly lines: string[];
  readonly metrics: Metrics;
}

export interface EdgeOptions {
  readonly settings?: GatewaySettings;
  readonly decide?: GatewayDeps['decide'];
  readonly administer?: GatewayDeps['administer'];
  readonly askLedger?: GatewayDeps['askLedger'];
  readonly busState?: GatewayDeps['busState'];
  /** Where jobs are ordered; a bus without a router if absent. */
  readonly bus?: Bus;
  readonly jobs?: JobSettings;
  readonly webhooks?: WebhookOptions;
  /** Of the configuration. */
  readonly budgets?: readonly Budget[];
  readonly active?: () => number;
  /** Asked every five milliseconds; nobody is if absent. */
  readonly askRouterLoad?: GatewayDeps['askRouterLoad'];
  readonly role?: Role;
  readonly hurry?: AbortSignal;
  readonly ipAllow?: readonly string[];
  readonly tenants?: readonly string[];
  readonly models?: readonly string[];
  /** Answers an order; called in a turn of its own, as the bus does. */
  readonly script?: (ordered: Ordered) => void;
}

export const ROUTED: Routed = {
  providerId: 'birch',
  model: 'tall',
  policyId: 'default',
  policyRevision: 3,
  attempts: 2,
  costMicroUsd: 42,
};

const MODELS = new Map([
  ['tall', { policyId: 'default', model: 'tall', providersAllow: ['birch'] }],
  ['birch/tall', { policyId: 'direct', model: 'tall', providersAllow: ['birch'] }],
]);

export const SETTINGS: GatewaySettings = {
  http: {
    host: '127.0.0.1',
    port: 0,
    headers_max_bytes: 16_384,
    headers_max_count: 100,
    headers_timeout_ms: 10_000,
    body_timeout_ms: 60_000,
    keep_alive_ms: 72_000,
    max_requests_per_socket: 10_000,
    max_connections: 10_000,
    body_limit: { inference: 8_388_608, native: 4_096 },
    deadline_ms: 300_000,
  },
  stream: { heartbeat_ms: 15_000, buffer_bytes: 262_144, stall_ms: 30_000 },
  backpressure: { max_in_flight: 2_000, sample_ms: 5 },
  auth: { failures_per_minute: 20 },
  shutdown: { timeout_ms: 1_000, lame_duck_ms: 0 },
};

export async function openEdge(options: EdgeOptions = {}): Promise<EdgeFixture> {
  const key = generateApiKey('test');
  const orders: Ordered[] = [];
  const lines: string[] = [];
  const metrics = new Metrics();
  const timers = new Timers(systemClock, { tickMs: 5 });
  const exchanges = scripted(orders, options);
  const authenticator = authenticatorOf(key, options);
  const telemetry = { log: openLog('info', { write: (line: string) => void lines.push(line) }), metrics };
  const bus = options.bus ?? openMemoryBus({ timers, telemetry: { ...telemetry, metrics: new Metrics() } });
  const jobs = await openJobs({
    bus,
    timers,
    telemetry,
    settings: options.jobs ?? { deadline_ms: 86_400_000, streams: { per_tenant: 100, per_process: 1_000 } },
    blobs: await openBucketBlobs(bus, { clock: timers.clock, quotaBytes: 64_000_000 }),
    decideTimeoutMs: 5_000,
    tenantOf: () => undefined,
    ...(options.webhooks === undefined ? {} : { webhooks: options.webhooks }),
  });
  const definitions = new BudgetDefinitions(options.budgets);
  const budgets = await BudgetBook.open({ bus, timers, log: telemetry.log, definitions });
  const gateway = await startGateway({
    jobs,
    budgets,
    letters: openLetterDesk(bus, timers),
    settings: options.settings ?? SETTINGS,
    exchanges,
    decide: options.decide ?? (() => Promise.reject(new Error('nobody decides'))),
    administer: options.administer ?? (() => Promise.reject(new Error('nobody administers'))),
    askLedger: options.askLedger ?? (() => Promise.reject(new Error('nobody keeps a ledger'))),
    authenticator,
    names: {
      resolve: (_tenant, model, policyId) =>
        policyId === undefined ? MODELS.get(model) : { policyId, model, providersAllow: undefined },
      list: () => [...MODELS.keys()].map((name) => ({ name, ownedBy: 'birch' })),
    },
    askRouterLoad: options.askRouterLoad,
    busState: options.busState ?? (() => 'connected'),
    telemetry,
    timers,
    hurry: options.hurry,
  });
  return {
    gateway,
    jobs,
    url: gateway.url,
    key,
    authenticator,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    orders,
    lines,
    metrics,
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      await jobs[Symbol.asyncDispose]();
      await budgets[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
    },
  };
}

/** Keeps each order, and lets the script answer it. */
function scripted(orders: Ordered[], options: EdgeOptions): Exchanges {
  return {
    get active() {
      return options.active?.() ?? orders.length;
    },
    open(order, reader) {
      const ordered: Ordered = { order, reader, cancelled: undefined };
      orders.push(ordered);
      queueMicrotask(() => options.script?.(ordered));
      return {
        routed: ROUTED,
        cancel(reason) {
          ordered.cancelled ??= reason;
        },
      };
    },
  };
}

function authenticatorOf(key: string, options: EdgeOptions): Authenticator {
  return openAuthenticator({
    keys: [
      {
        id: 'key_1',
        name: 'test',
        prefix: key.slice(0, 17),
        hash: hashApiKey(key, 'pepper'),
        tenants: options.tenants ?? ['acme'],
        role: options.role ?? 'service',
        ...(options.ipAllow === undefined ? {} : { ip_allow: options.ipAllow }),
        ...(options.models === undefined ? {} : { models: options.models }),
      },
    ],
    pepper: () => 'pepper',
    clock: systemClock,
  });
}

export type Json = Record<string, unknown>;

interface Asked {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Asks below a path with the key of the edge; a body that is no text is sent as JSON. */
export const askBelow =
  ({ url, headers: own }: EdgeFixture, base: string) =>
  async (method: string, path: string, { body, headers }: Asked = {}) => {
    const response = await fetch(`${url}${base}${path}`, {
      method,
      headers: { ...own, ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = (text === '' ? {} : JSON.parse(text)) as Json;
    return { status: response.status, json, headers: response.headers, text };
  };

/** Waits for a condition that somebody else makes true. */
export async function until(isTrue: () => boolean): Promise<void> {
  if (isTrue()) return;
  await pause(2);
  await until(isTrue);
}

/** An end frame with the provider's own body. */
export const endFrame = (raw?: string): EndFrame => ({
  type: 'end',
  assignment_id: 'a',
  attempt: 1,
  seq: 9,
  finish_reason: 'stop',
  usage: { model: 'tall', input_tokens: 1, output_tokens: 1, cost_micro_usd: 42 },
  ...(raw === undefined ? {} : { raw }),
});

export const CHAT = { model: 'tall', messages: [{ role: 'user', content: 'hello' }] };
