import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jobBucket } from '../../contracts/job.ts';
import { SETTINGS } from '../edge-fixture.ts';
import { until } from '../../../test/until.ts';
import { codeOf, detailsOf, openWorld } from './jobs-fixture.ts';

interface Event {
  readonly id: string | undefined;
  readonly type: string;
  readonly data: Record<string, unknown>;
}

type World = Awaited<ReturnType<typeof openWorld>>;

/** Reads a stream to its end, and tells what has come so far. */
async function follow({ edge }: World, id: string, headers: Readonly<Record<string, string>> = {}) {
  const response = await fetch(`${edge.url}/api/v1/jobs/${id}/events`, {
    headers: { authorization: `Bearer ${edge.key}`, ...headers },
  });
  let text = '';
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const part of response.body ?? []) text += decoder.decode(part as Uint8Array, { stream: true });
  })();
  const events = (): Event[] =>
    text
      .split('\n\n')
      .filter((block) => block.includes('data: '))
      .map((block) => {
        const line = (name: string) =>
          block
            .split('\n')
            .find((one) => one.startsWith(`${name}: `))
            ?.slice(name.length + 2);
        return { id: line('id'), type: line('event') ?? '', data: JSON.parse(line('data') ?? 'null') };
      });
  return { response, reading, events, text: () => text };
}

const told = ({ id, type, data }: Event): unknown[] => [id, type, data['status']];

test('each change is told under its number, the end with the whole job, and then the stream is over', async () => {
  await using world = await openWorld();
  const { router, order } = world;
  const id = await order();
  const stream = await follow(world, id);
  assert.match(stream.response.headers.get('content-type') ?? '', /^text\/event-stream/);
  await until('the acceptance', () => stream.events().length === 1);
  await router.move('acme', id, 'running');
  await until('the start', () => stream.events().length === 3);
  await router.move('acme', id, 'succeeded', { result: { output: 'done' } });
  await stream.reading;
  assert.deepEqual(stream.events().map(told), [
    [undefined, 'status', 'pending'],
    ['1', 'status', 'pending'],
    ['2', 'status', 'processing'],
    ['3', 'end', 'completed'],
  ]);
  assert.deepEqual(stream.events().at(-1)?.data['result'], { output: 'done' });
});

test('who comes back is told what it missed; after the end there is nothing to tell', async () => {
  await using world = await openWorld();
  const { router, order, send } = world;
  const id = await order();
  await router.move('acme', id, 'running');
  await router.move('acme', id, 'failed', { error: { code: 'provider_error', message: 'no', retryable: false } });
  const stream = await follow(world, id, { 'last-event-id': '1' });
  await stream.reading;
  assert.deepEqual(stream.events().map(told), [
    ['2', 'status', 'processing'],
    ['3', 'end', 'failed'],
  ]);
  assert.equal((await send('GET', `/api/v1/jobs/${id}/events`, undefined, { 'last-event-id': '3' })).status, 204);
  const bad = await send('GET', `/api/v1/jobs/${id}/events`, undefined, { 'last-event-id': 'x' });
  assert.deepEqual([bad.status, codeOf(bad)], [400, 'invalid_request']);
});

test('many who follow share one watch, which is open only for them', async () => {
  await using world = await openWorld();
  const { router, order, bus, edge } = world;
  const id = await order();
  let watches = 0;
  const bucket = await bus.openBucket(jobBucket);
  const watch = bucket.watch.bind(bucket);
  bucket.watch = (signal, pattern) => {
    watches++;
    return watch(signal, pattern);
  };
  assert.equal(edge.jobs.watch.isOpen, false);
  const streams = await Promise.all([follow(world, id), follow(world, id), follow(world, id)]);
  assert.equal(edge.jobs.streams.taken, 3);
  await router.move('acme', id, 'cancelled');
  await Promise.all(streams.map(({ reading }) => reading));
  for (const { events } of streams) assert.deepEqual(events().at(-1)?.data['status'], 'cancelled');
  assert.equal(watches, 1);
  await until('the places are given back', () => edge.jobs.streams.taken === 0);
});

test('a silent stream is kept open by comments', async () => {
  await using world = await openWorld({ settings: { ...SETTINGS, stream: { ...SETTINGS.stream, heartbeat_ms: 20 } } });
  const { router, order } = world;
  const id = await order();
  const stream = await follow(world, id);
  await until('two comments', () => stream.text().split(': keep-alive\n\n').length > 2);
  await router.move('acme', id, 'cancelled');
  await stream.reading;
});

test('a tenant has so many streams, and a client who leaves gives its place back', async () => {
  await using world = await openWorld({ jobs: { deadline_ms: 1_000, streams: { per_tenant: 1, per_process: 2 } } });
  const { order, edge, send } = world;
  const id = await order();
  const leaving = new AbortController();
  await fetch(`${edge.url}/api/v1/jobs/${id}/events`, { headers: edge.headers, signal: leaving.signal });
  const refused = await send('GET', `/api/v1/jobs/${id}/events`);
  assert.deepEqual(
    [refused.status, codeOf(refused), detailsOf(refused)['reason']],
    [503, 'service_overloaded', 'stream_capacity'],
  );
  leaving.abort();
  await until('the place is free', () => edge.jobs.streams.taken === 0);
});

test('a gateway that leaves says when to come back, and ends its streams and waits', async () => {
  await using world = await openWorld();
  const { order, edge, send } = world;
  const id = await order();
  const stream = await follow(world, id);
  const waiting = send('GET', `/api/v1/jobs/${id}`, undefined, { prefer: 'wait=60' });
  await until('somebody waits', () => edge.jobs.waits.taken === 1);
  const closing = edge.gateway[Symbol.asyncDispose]();
  await stream.reading;
  assert.match(stream.text(), /retry: [12]\d{3}\nevent: shutdown\n/);
  assert.equal((await waiting).body['status'], 'pending');
  await closing;
});
