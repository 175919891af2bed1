// A gateway before a router that keeps jobs as a test tells it, and a client that speaks to it.
import assert from 'node:assert/strict';
import { openMemoryBus } from '../../bus/memory.ts';
import { systemClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { type EdgeOptions, openEdge } from '../edge-fixture.ts';
import { openJobRouter } from './job-router-fixture.ts';

export const TASK = { type: 'chat.completion', payload: { messages: [{ role: 'user', content: 'hello' }] } };

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

export async function openWorld(options: EdgeOptions = {}) {
  const timers = new Timers(systemClock, { tickMs: 5 });
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const router = await openJobRouter(bus, systemClock);
  const edge = await openEdge({ role: 'admin', bus, ...options });
  const send = async (
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> => {
    const { 'content-type': _, ...bare } = edge.headers;
    const response = await fetch(`${edge.url}${path}`, {
      method,
      headers: { ...(body === undefined ? bare : edge.headers), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) };
  };
  const order = async (more: object = {}): Promise<string> => {
    const { status, body } = await send('POST', '/api/v1/jobs', { task: TASK, ...more });
    assert.equal(status, 202, JSON.stringify(body));
    return String(body['id']);
  };
  return {
    edge,
    bus,
    router,
    send,
    order,
    async [Symbol.asyncDispose]() {
      await edge[Symbol.asyncDispose]();
      await router[Symbol.asyncDispose]();
      await bus.drain();
      timers[Symbol.dispose]();
    },
  };
}

export const codeOf = ({ body }: Answer): unknown => (body['error'] as { code?: unknown } | undefined)?.code;
export const detailsOf = ({ body }: Answer) => (body['error'] as { details: Record<string, unknown> }).details;
export const fieldOf = (answer: Answer): unknown =>
  (detailsOf(answer)['fields'] as { path: string }[] | undefined)?.[0]?.path;
