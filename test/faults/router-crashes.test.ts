// One of two routers is killed: under load, while it waits before a retry, and before it has pushed anything. Every request
// is answered, the provider is asked as often as without the fault, and each request has one usage event.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { serveExtension } from '../../sdk/extension-server.ts';
import { openNatsBus } from '../../src/bus/nats.ts';
import { resultStream, routerResults, usageStream } from '../../src/contracts/streams.ts';
import type { UsageEvent } from '../../src/contracts/usage.ts';
import { systemClock } from '../../src/core/clock.ts';
import { Timers } from '../../src/core/timers.ts';
import { openLog } from '../../src/telemetry/log.ts';
import { Metrics } from '../../src/telemetry/metrics.ts';
import { endingOf } from '../events.ts';
import { type Stack, startStack } from '../stack.ts';
import { until } from '../until.ts';

/** So many that each router has some: that one has all of them happens once in 30,000 runs. */
const REQUESTS = 16;
const PAIR = { routers: 2, workers: 1 } as const;

interface Ended {
  readonly requestId: string;
  readonly status: number;
  readonly isWhole: boolean;
}

interface Question {
  /** The only text of the request: what the provider saw is found by it. */
  readonly name: string;
  readonly model: string;
  readonly stream?: boolean;
  readonly policy?: string;
}

async function ask(stack: Stack, { name, model, stream = false, policy }: Question): Promise<Ended> {
  const body = { model, stream, messages: [{ role: 'user', content: name }] };
  const response = await stack.chat(body, undefined, policy === undefined ? {} : { 'x-beamline-policy': policy });
  const text = await response.text();
  return {
    requestId: response.headers.get('x-beamline-request-id') ?? '',
    status: response.status,
    isWhole: stream ? endingOf(text) === 'done' : text.includes('"chat.completion"'),
  };
}

const asked = (stack: Stack, count: number, question: (n: number) => Question): readonly Promise<Ended>[] =>
  Array.from({ length: count }, (_, n) => ask(stack, question(n)));

/** How often the provider was asked, by the text of the request. */
function callsOf({ upstream }: Stack): Readonly<Record<string, number>> {
  const calls: Record<string, number> = {};
  for (const body of upstream.bodies) {
    const [message] = (body as { messages: { content: string }[] }).messages;
    calls[message?.content ?? ''] = (calls[message?.content ?? ''] ?? 0) + 1;
  }
  return calls;
}

const each = (names: readonly string[], calls: number): Readonly<Record<string, number>> =>
  Object.fromEntries(names.map((name) => [name, calls]));

const notServed = (ended: readonly Ended[]): readonly Ended[] =>
  ended.filter(({ status, isWhole }) => status !== 200 || !isWhole);

/** Every usage event, once no router owes one: what a dead one had taken of the results is given out again at once. */
async function usageIn(url: string): Promise<readonly UsageEvent[]> {
  await using nc = await connect({ servers: url });
  const { streams, consumers } = await jetstreamManager(nc);
  await consumers.update(resultStream.name, routerResults.durable, { ack_wait: 1_000_000_000 });
  await until('every result to be read', async () => (await streams.info(resultStream.name)).state.messages === 0);
  using timers = new Timers(systemClock);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  await using bus = await openNatsBus({ url, name: 'test', timers, telemetry });
  const stored = await bus.read(usageStream, { fromSeq: 1, limit: 10_000 });
  return stored.map(({ body }) => JSON.parse(new TextDecoder().decode(body)) as UsageEvent);
}

/** That each request has exactly one event, of one success; returns them. */
async function assertBilledOnce(stack: Stack, ended: readonly Ended[]): Promise<readonly UsageEvent[]> {
  const events = await usageIn(stack.nats?.url ?? '');
  assert.deepEqual(
    events.map(({ request_id: id, status }) => `${id} ${status}`).toSorted(),
    ended.map(({ requestId }) => `${requestId} success`).toSorted(),
  );
  assert.equal(new Set(events.map(({ usage_id: id }) => id)).size, events.length);
  return events;
}

test('a router that is killed under load: every request is answered, and none is asked or billed twice', async () => {
  await using stack = await startStack('nats', { ...PAIR, workers: 2 });
  let isOver = false;
  const quick: Ended[] = [];
  const loop = (async () => {
    while (!isOver) {
      const n = quick.length;
      // eslint-disable-next-line no-await-in-loop -- one after the other is the point
      quick.push(await ask(stack, { name: `quick ${n}`, model: 'test-chat', stream: n % 2 === 0 }));
    }
  })();
  const held = [
    ...asked(stack, 8, (n) => ({ name: `whole ${n}`, model: 'alder/test-slow-start' })),
    ...asked(stack, 8, (n) => ({ name: `stream ${n}`, model: 'alder/test-slow', stream: true })),
  ];
  await until('all to be asked', () => Object.keys(callsOf(stack)).length >= held.length + 5 && quick.length > 5);
  await stack.routers[0]?.kill();
  const slow = await Promise.all(held);
  isOver = true;
  await loop;
  const ended = [...slow, ...quick];
  assert.deepEqual(notServed(ended), []);
  const calls = callsOf(stack);
  assert.deepEqual(calls, each(Object.keys(calls), 1));
  assert.equal(Object.keys(calls).length, ended.length);
  await assertBilledOnce(stack, ended);
});

test('what a router was waiting to retry when it was killed is taken over by the other one', async () => {
  const names = Array.from({ length: REQUESTS }, (_, n) => `away-${n}`);
  // Each is refused once, and its router then waits longer than a gateway bears silence.
  const away = () => ({ output_tokens: 5, errors: [{ when: { nth: 1 }, status: 503 }] });
  const backoff = { strategy: 'fixed', base_ms: 4_000, jitter: false };
  await using stack = await startStack('nats', {
    ...PAIR,
    models: Object.fromEntries(names.map((name) => [name, away()])),
    policies: {
      patient: {
        version: '2.0',
        weights: { alder: 1 },
        fallbacks: [{ when: { status: '5xx' }, retry: 1, backoff, to: 'alder' }],
        retry: { budget: { min_retries: 100 } },
      },
    },
  });
  const answers = asked(stack, REQUESTS, (n) => ({ name: names[n] ?? '', model: names[n] ?? '', policy: 'patient' }));
  await until('all to be refused', () => stack.upstream.bodies.length === REQUESTS && stack.upstream.running === 0);
  await stack.routers[0]?.kill();
  const ended = await Promise.all(answers);
  assert.deepEqual(notServed(ended), []);
  assert.deepEqual(callsOf(stack), each(names, 2));
  const attempts = (await assertBilledOnce(stack, ended)).map(({ attempt }) => attempt);
  // Whoever takes a request over begins with its first attempt; the router that lives goes on with the second.
  assert.ok(attempts.includes(1) && attempts.every((attempt) => attempt === 1 || attempt === 2), attempts.join());
});

test('what a router had not pushed when it was killed is decided and pushed by the other one', async () => {
  await using stack = await startStack('nats', {
    ...PAIR,
    silenceMs: 4_000,
    policies: { held: { version: '2.0', weights: { alder: 1 }, validators: [{ id: 'pii_guard' }] } },
  });
  await using nc = await connect({ servers: stack.nats?.url ?? '' });
  const seen: string[] = [];
  const waiting = Promise.withResolvers<{ status: 'ok' }>();
  serveExtension(nc, {
    id: 'pii_guard',
    type: 'validator',
    handle: ({ request_id: id = '' }) => {
      seen.push(id);
      return waiting.promise;
    },
  });
  await nc.flush();
  const answers = asked(stack, REQUESTS, (n) => ({ name: `held ${n}`, model: 'test-chat', policy: 'held' }));
  await until('all to be held', () => seen.length === REQUESTS);
  assert.equal(stack.upstream.bodies.length, 0);
  await stack.routers[0]?.kill();
  waiting.resolve({ status: 'ok' });
  const ended = await Promise.all(answers);
  assert.deepEqual(notServed(ended), []);
  const calls = callsOf(stack);
  assert.deepEqual(calls, each(Object.keys(calls), 1));
  assert.equal(Object.keys(calls).length, REQUESTS);
  assert.ok(seen.length > REQUESTS, 'some were asked again by the other router');
  assert.equal(new Set(seen).size, REQUESTS);
  await assertBilledOnce(stack, ended);
});
