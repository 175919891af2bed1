import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DecideRequest } from '../contracts/decide.ts';
import { factsOf } from './facts-of.ts';
import { openRouter } from './router-fixture.ts';

const NOW_MS = 1_790_000_000_000;
const request = (payload: Record<string, unknown>, more: Partial<DecideRequest> = {}): DecideRequest => ({
  version: '2',
  request_id: 'rq-1',
  tenant_id: 'acme',
  task: { type: 'ai.chat', payload },
  ...more,
});

test('parameters are facts, and what somebody wrote is not', () => {
  const written = 'a secret of mine';
  const facts = factsOf(
    request({
      temperature: 0.2,
      stream: true,
      reasoning_effort: 'low',
      messages: [{ role: 'user', content: written }],
      prompt: written,
      input: written,
      instructions: written,
      user: written,
    }),
    NOW_MS,
  );
  assert.deepEqual(facts.taskParams, { temperature: 0.2, stream: true, reasoning_effort: 'low' });
  assert.doesNotMatch(JSON.stringify(facts), /secret/);
  assert.equal(facts.timeMs, NOW_MS);
});

test('tools and images are seen without being kept', () => {
  const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
  const facts = factsOf(request({ messages: [{ content: [image] }], tools: [{ type: 'function' }] }), NOW_MS);
  assert.deepEqual([facts.hasTools, facts.hasImages], [true, true]);
  const plain = factsOf(request({ messages: [null, 'odd', { content: [null] }], tools: [] }), NOW_MS);
  assert.deepEqual([plain.hasTools, plain.hasImages], [false, false]);
});

test('the task is as large as its body unless it is told apart, and of a reference nobody knows', () => {
  const sizes = (estimate: DecideRequest['estimate'], more: Partial<DecideRequest['task']> = {}) => {
    const order = request({}, estimate === undefined ? {} : { estimate });
    const { sizeBytes, taskSizeBytes } = factsOf({ ...order, task: { ...order.task, ...more } }, NOW_MS);
    return [sizeBytes, taskSizeBytes];
  };
  assert.deepEqual(sizes({ size_bytes: 9 }), [9, 9]);
  assert.deepEqual(sizes({ size_bytes: 9, task_size_bytes: 4 }), [9, 4]);
  assert.deepEqual(sizes({ size_bytes: 9 }, { payload_ref: 'blob:1' }), [9, undefined]);
  assert.deepEqual(sizes(undefined), [undefined, undefined]);
});

test('a fallback reads parameters also where nothing else in the policy does', async () => {
  const { decide, fail, pass, providers, stop } = await openRouter({
    weights: { alder: 1, birch: 0 },
    fallbacks: [
      { when: 'task.params.temperature < 0.5', retry: 0, backoff: { base_ms: 1, jitter: false }, to: 'birch' },
    ],
    retry: { max_attempts: 2, on: [] },
  });
  await decide({ task: { type: 'ai.chat', model: 'm', payload: { temperature: 0.2 } } });
  await fail('PROVIDER_UNAVAILABLE');
  await pass(100);
  assert.deepEqual(providers(), ['alder', 'birch']);
  await stop();
});
