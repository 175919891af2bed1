// The operator who does not want to wait: a second signal ends what runs, writes away what is held, and exits with 1.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startStack } from '../stack.ts';
import { until } from '../until.ts';

const BODY = { model: 'alder/test-silent', messages: [{ role: 'user', content: 'hello' }] };

test('a process that ends in a hurry answers whoever waits', async () => {
  await using stack = await startStack('embedded');
  const asked = stack.chat(BODY);
  await until('the request to arrive', () => stack.upstream.running === 1);
  stack.gateway.signal('SIGTERM');
  stack.gateway.signal('SIGINT');
  const answer = await asked;
  assert.deepEqual([answer.status, await answer.text().then((text) => text.includes('draining'))], [503, true]);
  await stack.gateway.ended;
  await stack.gateway.stop();
});

test('a worker that ends in a hurry gives its call up, and tells so', async () => {
  await using stack = await startStack('nats');
  const [worker] = stack.workers;
  const asked = stack.chat(BODY);
  await until('the request to arrive', () => stack.upstream.running === 1);
  worker?.signal('SIGINT');
  worker?.signal('SIGTERM');
  await worker?.ended;
  assert.match(worker?.output() ?? '', /work_abandoned/);
  assert.equal((await asked).status, 503);
});
