import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openBucketBlobs } from '../../bus/bucket-blobs.ts';
import { systemClock } from '../../core/clock.ts';
import { until } from '../edge-fixture.ts';
import { codeOf, fieldOf, openWorld, TASK } from './jobs-fixture.ts';

const world = await openWorld();
after(() => world[Symbol.asyncDispose]());
const { send, order, router, bus, edge } = world;
const blobs = await openBucketBlobs(bus, { clock: systemClock, quotaBytes: 64_000_000 });

/** A job that has completed with an output beside its record. */
async function completed(output: unknown, more: object = {}): Promise<{ id: string; ref: string }> {
  const id = await order(more);
  const ref = await blobs.keep('acme', new TextEncoder().encode(JSON.stringify(output)), id);
  await router.move('acme', id, 'succeeded', { result: { output_ref: ref, model: 'tall' } });
  return { id, ref };
}

const SHOWN = { text: 'x'.repeat(300_000) };
const LARGE = { text: 'y'.repeat(2_000_000) };

test('an output beside the record is shown with the job up to a bound, and beyond it at its own address', async () => {
  const shown = await completed(SHOWN);
  const job = await send('GET', `/api/v1/jobs/${shown.id}`);
  assert.deepEqual(job.body['result'], { model: 'tall', output: SHOWN });
  assert.equal(job.body['result_ref'], undefined);
  assert.deepEqual((await send('GET', `/api/v1/jobs/${shown.id}/result`)).body, SHOWN);

  const large = await completed(LARGE);
  const told = await send('GET', `/api/v1/jobs/${large.id}`, undefined, { prefer: 'wait=1' });
  assert.deepEqual(told.body['result'], { model: 'tall', output_ref: large.ref });
  assert.equal(told.body['result_ref'], `/api/v1/jobs/${large.id}/result`);
  const result = await send('GET', String(told.body['result_ref']));
  assert.equal(result.headers.get('content-length'), String(JSON.stringify(LARGE).length));
  assert.deepEqual(result.body, LARGE);
  const head = await fetch(`${edge.url}/api/v1/jobs/${large.id}/result`, { method: 'HEAD', headers: edge.headers });
  assert.deepEqual([head.status, head.headers.get('content-length')], [200, result.headers.get('content-length')]);
});

test('an output that is nested deeper than a message is not shown with the job, and read at its own address', async () => {
  const deep: unknown = JSON.parse(`${'{"a":'.repeat(500)}1${'}'.repeat(500)}`);
  const { id, ref } = await completed(deep);
  const told = await send('GET', `/api/v1/jobs/${id}`);
  assert.deepEqual(told.body['result'], { model: 'tall', output_ref: ref });
  const response = await fetch(`${edge.url}/api/v1/jobs/${id}/result`, { headers: edge.headers });
  assert.equal(await response.text(), JSON.stringify(deep));
});

test('a small output has the same address, and a job without one says so', async () => {
  const id = await order();
  const none = await send('GET', `/api/v1/jobs/${id}/result`);
  assert.deepEqual([none.status, codeOf(none)], [404, 'not_found']);
  await router.move('acme', id, 'succeeded', { result: { output: { a: 1 } } });
  assert.deepEqual((await send('GET', `/api/v1/messages/${id}/result`)).body, { a: 1 });
  assert.equal((await send('GET', '/api/v1/jobs/job_01K0000000000000000000000Z/result')).status, 404);
});

test('an output whose time is over is not found, and the job still is', async () => {
  const { id, ref } = await completed(SHOWN);
  await blobs.forget('acme', ref);
  const result = await send('GET', `/api/v1/jobs/${id}/result`);
  assert.deepEqual([result.status, codeOf(result)], [404, 'not_found']);
  const job = await send('GET', `/api/v1/jobs/${id}`);
  assert.deepEqual([job.status, job.body['result']], [200, { model: 'tall', output_ref: ref }]);
});

test('a damaged output is cut, so that nobody takes it for whole', async () => {
  const { id, ref } = await completed(LARGE);
  const bucket = await bus.openBucket({ name: 'blobs', bytesMax: 64_000_000 });
  const piece = (await bucket.entries()).find(({ key }) => key.includes(ref.slice(12)) && key.endsWith('.3'));
  assert.ok(piece);
  await bucket.erase(piece.key);
  const response = await fetch(`${edge.url}/api/v1/jobs/${id}/result`, { headers: edge.headers });
  await assert.rejects(response.text());
});

test('with the job its output is deleted', async () => {
  const { id, ref } = await completed(SHOWN);
  assert.equal((await send('DELETE', `/api/v1/jobs/${id}`)).status, 204);
  assert.equal(await blobs.find('acme', ref), undefined);
});

test('whoever waits for the answer of a dialect gets it whole, however large', async () => {
  const asked = router.asked.length;
  const answer = fetch(`${edge.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...edge.headers, prefer: 'respond-async, wait=10' },
    body: JSON.stringify({ model: 'tall', messages: [{ role: 'user', content: 'hello' }] }),
  });
  await until(() => router.asked.length > asked);
  const id = router.asked.at(-1)?.job?.id ?? '';
  const ref = await blobs.keep('acme', new TextEncoder().encode(JSON.stringify(LARGE)), id);
  await router.move('acme', id, 'succeeded', { result: { output_ref: ref } });
  assert.deepEqual(await (await answer).json(), LARGE);
});

test('a payload may be a blob of the tenant', async () => {
  const ref = await blobs.keep('acme', new TextEncoder().encode('{"a":1}'));
  const answer = await send('POST', '/api/v1/jobs', { task: { type: 'test.echo', payload_ref: ref } });
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  assert.deepEqual(router.asked.at(-1)?.task, { type: 'test.echo', payload_ref: ref });
  for (const bad of ['blob://other/' + ref.slice(12), 'https://x.example/', 'blob://acme/../../x', 7]) {
    // eslint-disable-next-line no-await-in-loop -- one after the other
    const refused = await send('POST', '/api/v1/jobs', { task: { type: 'test.echo', payload_ref: bad } });
    assert.deepEqual([refused.status, fieldOf(refused)], [400, 'task.payload_ref'], String(bad));
  }
  const both = await send('POST', '/api/v1/jobs', { task: { ...TASK, payload_ref: ref } });
  assert.deepEqual([both.status, fieldOf(both)], [400, 'task.payload_ref']);
});
