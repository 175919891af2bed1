import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecisionRing } from '../decision-ring.ts';
import { told } from '../router-fixture.ts';
import { failure, openJobs, orderOf } from './jobs-fixture.ts';

const DOWN = failure('PROVIDER_UNAVAILABLE', {
  error: { class: 'unavailable', retryable: true, http_status: 503 },
  latency_ms: 40,
});
const POLICY = {
  providers: [
    { name: 'alder', weight: 1 },
    { name: 'birch', weight: 0 },
  ],
  escalate_on: [{ when: "'5xx' in context.status", to: 'birch', reason: 'birch is never down' }],
};

test('the attempts of a job are written down with their ends, as those of a request are', async () => {
  const records = new DecisionRing();
  const { start, ask, script, pass, stop } = await openJobs(POLICY, { records });
  await start();
  script.push(DOWN, { latency_ms: 7 });
  await ask(orderOf());
  await pass(1_000);
  assert.deepEqual(told(records, 'rq-1'), [
    '1 weighted alder',
    '1 failed alder PROVIDER_UNAVAILABLE 40 ms',
    '2 escalated birch after PROVIDER_UNAVAILABLE: birch is never down',
    '2 succeeded birch  7 ms',
  ]);
  await stop();
});

test('an attempt of a job that nobody ended is written down as lost, with the time for which it was out', async () => {
  const records = new DecisionRing();
  const { start, ask, script, pass, stop } = await openJobs(
    { weights: { alder: 1 }, timeouts: { attempt_ms: 5_000 } },
    { records },
  );
  await start();
  script.push('vanish');
  await ask(orderOf());
  await pass(70_000);
  const [first, lost, again, end] = told(records, 'rq-1');
  assert.deepEqual([first, again], ['1 weighted alder', '2 weighted alder after WORKER_LOST']);
  assert.match(lost ?? '', /^1 failed alder WORKER_LOST \d{4,} ms$/);
  assert.match(end ?? '', /^2 succeeded alder/);
  await stop();
});

test('the time of a job that is over ends its attempt in the records', async () => {
  const records = new DecisionRing();
  const { start, ask, script, clock, pass, stop } = await openJobs(undefined, { records });
  await start();
  script.push('vanish');
  await ask(orderOf({}, { expires_at_ms: clock.epochMs() + 10_000 }));
  await pass(20_000);
  const [, end] = told(records, 'rq-1');
  assert.match(end ?? '', /^1 timed_out alder/);
  await stop();
});

test('of a block, which no policy decides on, nothing is written down', async () => {
  const records = new DecisionRing();
  const { start, ask, script, pass, stop } = await openJobs(undefined, { records });
  await start();
  script.push(DOWN);
  await ask(orderOf({ task: { type: 'http.request', payload: { a: 1 } }, options: { retry: { max_attempts: 2 } } }));
  await pass(10_000);
  assert.deepEqual(told(records, 'rq-1'), []);
  await stop();
});
