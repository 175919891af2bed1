// Delivers what stands in the bucket, when it is due, and keeps what became of it (gateway 15.2).
// D1. Every gateway knows what is pending by its watch; who wins the compare-and-set makes the try, and holds it by a lease.
// D2. A try ends before its lease. A gateway that died leaves a lease that runs out, and another one goes on.
// D3. Each endpoint has tries of its own at a time, so a slow one delays nobody else.
import type { Entry, KeyValue } from '../../bus/bus.ts';
import { deliveryKey, type WebhookDelivery, webhookDelivery } from '../../contracts/webhook-delivery.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Timer, Timers } from '../../core/timers.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Counter, Family } from '../../telemetry/metrics.ts';
import { readIfLegal } from './job-records.ts';
import { type SendWebhook, signed, type WebhookEndpoint } from './webhook-endpoint.ts';
import { changeHealth, failing, gone, healthOf, succeeding } from './webhook-health.ts';
import { delivered, failed, retryAfterMs, type Try } from './webhook-retries.ts';

export interface DeliveriesDeps {
  readonly bucket: KeyValue;
  readonly timers: Timers;
  readonly log: Log;
  readonly gatewayId: string;
  readonly endpointOf: (tenantId: string, webhookId: string) => WebhookEndpoint | undefined;
  readonly send: SendWebhook;
  /** A share from 0 to 1, drawn anew. */
  readonly draw: () => number;
  /** By `result`: `delivered`, `failed`, `dead`. */
  readonly results: Family<Counter>;
}

const TRY_MS = 15_000;
const LEASE_MS = 60_000;
const AT_ONCE = 4;
const AGAIN_MS = 1_000;
/** Deliveries that one gateway keeps in mind; the rest is found when its watch starts anew. */
const PENDING_MAX = 100_000;
const KEY_TOKENS = 3;

interface Queue {
  running: number;
  readonly waiting: Set<string>;
}

interface Outcome {
  readonly tried: Try;
  readonly isGood: boolean;
  readonly isGone: boolean;
}

export class WebhookDeliveries implements AsyncDisposable {
  readonly #deps: DeliveriesDeps;
  readonly #due = new Map<string, Timer>();
  readonly #queues = new Map<string, Queue>();
  readonly #stop = new AbortController();
  /** Of the watch that is open; there were too many to keep in mind when `isShort`. */
  #turn = { again: new AbortController(), isShort: false };
  readonly #watching: Promise<void>;

  constructor(deps: DeliveriesDeps) {
    this.#deps = deps;
    this.#watching = this.#watch(this.#stop.signal);
  }

  /** Pending deliveries that are known here. */
  get pending(): number {
    return this.#due.size + [...this.#queues.values()].reduce((sum, { waiting }) => sum + waiting.size, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const timer of this.#due.values()) timer.cancel();
    this.#due.clear();
    this.#queues.clear();
    await this.#watching;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { bucket, timers, log } = this.#deps;
    while (!signal.aborted) {
      try {
        this.#turn = { again: new AbortController(), isShort: false };
        const until = AbortSignal.any([signal, this.#turn.again.signal]);
        // eslint-disable-next-line no-await-in-loop -- the loop is the watcher
        for await (const entry of bucket.watch(until)) this.#hear(entry);
      } catch (fault) {
        if (!signal.aborted) log.warn('webhooks_watch_broken', { fault });
      }
      // eslint-disable-next-line no-await-in-loop -- as above
      await timers.sleep(AGAIN_MS, signal).catch(() => undefined);
    }
  }

  #hear({ key, value, deleted }: Entry): void {
    if (key.split('.').length !== KEY_TOKENS) return;
    const delivery = deleted ? undefined : readIfLegal(webhookDelivery, value);
    if (delivery?.status === 'pending')
      return this.#schedule(key, Math.max(delivery.next_at_ms, delivery.lease?.until_ms ?? 0));
    this.#due.get(key)?.cancel();
    this.#due.delete(key);
  }

  #schedule(key: string, atMs: number): void {
    this.#due.get(key)?.cancel();
    this.#due.delete(key);
    if (this.#stop.signal.aborted) return;
    if (this.#due.size >= PENDING_MAX) {
      this.#turn.isShort = true;
      return;
    }
    const { timers } = this.#deps;
    const timer = timers.after(Math.max(0, atMs - timers.clock.epochMs()), () => {
      this.#due.delete(key);
      if (this.#turn.isShort && this.#due.size < PENDING_MAX / 2) this.#turn.again.abort();
      this.#enqueue(key);
    });
    this.#due.set(key, timer);
  }

  #enqueue(key: string): void {
    const endpoint = key.slice(0, key.lastIndexOf('.'));
    const queue = this.#queues.get(endpoint) ?? { running: 0, waiting: new Set() };
    this.#queues.set(endpoint, queue);
    queue.waiting.add(key);
    this.#next(endpoint, queue);
  }

  #next(endpoint: string, queue: Queue): void {
    const [key] = queue.waiting;
    if (key === undefined) {
      if (queue.running === 0) this.#queues.delete(endpoint);
      return;
    }
    if (queue.running >= AT_ONCE || this.#stop.signal.aborted) return;
    queue.waiting.delete(key);
    queue.running++;
    void this.#deliver(key)
      .catch((fault: unknown) => {
        this.#deps.log.warn('webhook_try_broken', { fault });
        // The store was away: what was claimed waits for its lease, what was not for a moment.
        this.#schedule(key, this.#deps.timers.clock.epochMs() + LEASE_MS);
      })
      .finally(() => {
        queue.running--;
        this.#next(endpoint, queue);
      });
  }

  async #deliver(key: string): Promise<void> {
    const { bucket, timers, gatewayId, endpointOf, results } = this.#deps;
    const entry = await bucket.get(key);
    const pending = entry === undefined ? undefined : readIfLegal(webhookDelivery, entry.value);
    const nowMs = timers.clock.epochMs();
    if (entry === undefined || pending?.status !== 'pending') return;
    const dueMs = Math.max(pending.next_at_ms, pending.lease?.until_ms ?? 0);
    if (dueMs > nowMs) return this.#schedule(key, dueMs);
    const claimed: WebhookDelivery = {
      ...pending,
      attempt: pending.attempt + 1,
      lease: { gateway_id: gatewayId, until_ms: nowMs + LEASE_MS },
    };
    const revision = await written(bucket, key, claimed, entry.revision);
    if (revision === undefined) return;
    const endpoint = endpointOf(pending.tenant_id, pending.webhook_id);
    const outcome = await this.#outcome(endpoint, claimed);
    if (this.#stop.signal.aborted) return;
    const next = outcome.isGood
      ? delivered(claimed, outcome.tried)
      : failed(claimed, outcome.tried, { draw: this.#deps.draw(), isFinal: outcome.isGone });
    results.of(next.status === 'pending' ? 'failed' : next.status).add();
    await written(bucket, key, next, revision);
  }

  async #outcome(endpoint: WebhookEndpoint | undefined, delivery: WebhookDelivery): Promise<Outcome> {
    const { bucket, timers } = this.#deps;
    const nowMs = (): number => timers.clock.epochMs();
    const over = (error: string): Outcome => ({ tried: { atMs: nowMs(), error }, isGood: false, isGone: true });
    if (endpoint === undefined) return over('the webhook is not registered any more');
    if ((await healthOf(bucket, endpoint)).disabled !== undefined) return over('the webhook is disabled');
    const outcome = await this.#try(endpoint, delivery);
    const change = outcome.isGood ? succeeding : outcome.isGone ? gone(nowMs()) : failing(nowMs());
    await changeHealth(bucket, endpoint, change);
    return outcome;
  }

  async #try(endpoint: WebhookEndpoint, { event_id: id, body }: WebhookDelivery): Promise<Outcome> {
    const { timers, send } = this.#deps;
    const atMs = timers.clock.epochMs();
    const signature = signed(endpoint, { id, timestampS: Math.floor(atMs / 1_000), body });
    if (signature === undefined)
      return { tried: { atMs, error: 'the secret is missing' }, isGood: false, isGone: false };
    const tooLate = new AbortController();
    const timer = timers.after(TRY_MS, () => tooLate.abort(new BeamlineError('timeout', 'no answer in time')));
    const signal = AbortSignal.any([tooLate.signal, this.#stop.signal]);
    try {
      const headers = { 'content-type': 'application/json', 'user-agent': 'beamline', ...signature };
      const { status, retryAfter } = await send({ url: endpoint.url, headers, body, signal });
      const waitMs = retryAfterMs(retryAfter, timers.clock.epochMs());
      return {
        tried: { atMs, httpStatus: status, ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }) },
        isGood: status >= 200 && status < 300,
        isGone: status === 410,
      };
    } catch (fault) {
      const error = fault instanceof Error ? fault.message : 'the request failed';
      return { tried: { atMs, error }, isGood: false, isGone: false };
    } finally {
      timer.cancel();
    }
  }
}

/** The new revision; undefined where somebody else wrote first. */
export async function written(
  bucket: KeyValue,
  key: string,
  delivery: WebhookDelivery,
  revision: number,
): Promise<number | undefined> {
  try {
    return await bucket.update(key, JSON.stringify(delivery), revision);
  } catch (fault) {
    if (BeamlineError.from(fault).code === 'precondition_failed') return undefined;
    throw fault;
  }
}

export const keyOfDelivery = ({ tenant_id, webhook_id, event_id }: WebhookDelivery): string =>
  deliveryKey(tenant_id, webhook_id, event_id);
