import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cancel } from '../contracts/cancel.ts';
import { at } from '../contracts/contract.ts';
import { DecisionRing } from './decision-ring.ts';
import { CORRELATION, openRouter, told } from './router-fixture.ts';

const PROVIDERS = [
  { name: 'alder', weight: 1 },
  { name: 'birch', weight: 0 },
  { name: 'cedar', weight: 0 },
];
/** Longer than what is queued waits for. */
const WRITTEN_MS = 300;

test('each attempt is written down with its end: the same on another worker, a retry, a fallback', async () => {
  const records = new DecisionRing();
  const { script, decide, fail, pass, outcome, stop } = await openRouter(
    {
      providers: PROVIDERS,
      fallbacks: [{ when: { status: '5xx' }, retry: 1, to: 'birch', backoff: { jitter: false, base_ms: 100 } }],
    },
    { records },
  );
  script.push({ status: 'rejected', reason: 'queue_full' });
  await decide();
  for (const _ of ['again', 'elsewhere']) {
    await fail('PROVIDER_UNAVAILABLE', { http_status: 503 });
    await pass(200);
  }
  await outcome({ state: 'succeeded' });
  await pass(WRITTEN_MS);
  assert.deepEqual(told(records, 'rq-1'), [
    '1 weighted alder',
    '1 failed alder WORKER_UNAVAILABLE 0 ms',
    '2 weighted alder after WORKER_UNAVAILABLE',
    '2 failed alder PROVIDER_UNAVAILABLE 5 ms',
    '3 retry alder after PROVIDER_UNAVAILABLE',
    '3 failed alder PROVIDER_UNAVAILABLE 5 ms',
    '4 fallback birch after PROVIDER_UNAVAILABLE',
    '4 succeeded birch  5 ms',
  ]);
  await stop();
});

test('an escalation is written down with the reason of its author, and a draw after it is a decision', async () => {
  const records = new DecisionRing();
  const { decide, fail, pass, outcome, stop } = await openRouter(
    {
      providers: [...PROVIDERS.slice(0, 2), { name: 'cedar', weight: 0.001 }],
      escalate_on: [{ when: "'content_blocked' in context.status", to: 'birch', reason: 'the large one may say it' }],
    },
    { records },
  );
  await decide();
  await fail('CONTENT_BLOCKED', { class: 'validation', retryable: false });
  await fail('PROVIDER_UNAVAILABLE');
  await pass(200);
  await outcome({ state: 'succeeded' });
  await pass(WRITTEN_MS);
  assert.deepEqual(told(records, 'rq-1'), [
    '1 weighted alder',
    '1 failed alder CONTENT_BLOCKED 5 ms',
    '2 escalated birch after CONTENT_BLOCKED: the large one may say it',
    '2 failed birch PROVIDER_UNAVAILABLE 5 ms',
    '3 failover cedar',
    '3 succeeded cedar  5 ms',
  ]);
  await stop();
});

for (const [what, reason, end] of [
  ['whose caller left', 'client_disconnected', 'cancelled alder CANCELLED_BY_USER'],
  ['whose time was over at the gateway', 'deadline', 'timed_out alder CANCELLED_BY_TIMEOUT'],
] as const) {
  test(`the attempt of a request ${what} has its end, which its worker tells too late`, async () => {
    const records = new DecisionRing();
    const { bus, decide, pass, outcome, stop } = await openRouter(undefined, { records });
    const { assignment } = await decide();
    await pass(100);
    const assignment_id = assignment?.assignment_id ?? '';
    const about = { version: '2', tenant_id: 'acme', assignment_id, requested_at_ms: 1 } as const;
    bus.publish(at(cancel), { ...about, reason }, CORRELATION);
    await outcome({ state: 'cancelled' });
    await pass(WRITTEN_MS);
    assert.deepEqual(told(records, 'rq-1'), ['1 weighted alder', `1 ${end} 100 ms`]);
    await stop();
  });
}

test('an attempt that nobody ends has its end with the time of its request', async () => {
  const records = new DecisionRing();
  const { decide, pass, stop } = await openRouter(undefined, { records });
  await decide({ deadline_ms: 1_000 });
  await pass(1_000 + WRITTEN_MS);
  assert.deepEqual(told(records, 'rq-1'), ['1 weighted alder', '1 timed_out alder CANCELLED_BY_TIMEOUT 1000 ms']);
  await stop();
});

test('an attempt that was given up has one end, whatever its worker tells of it afterwards', async () => {
  const records = new DecisionRing();
  const { script, decide, pass, outcome, stop } = await openRouter({ weights: { alder: 1, birch: 1 } }, { records });
  script.push('absent', 'absent', 'absent', 'absent');
  await decide();
  for (let n = 0; n < 4; n++) await pass(1_050);
  await outcome({ state: 'cancelled' });
  await pass(1_000);
  await outcome({ state: 'succeeded' });
  await pass(WRITTEN_MS);
  const ends = told(records, 'rq-1').filter((line) => /failed|cancelled|succeeded/.test(line));
  assert.deepEqual(
    ends.map((line) => line.split(' ').filter((_, at) => at !== 2 && at < 4)),
    [
      ['1', 'failed', 'WORKER_UNAVAILABLE'],
      ['2', 'failed', 'WORKER_UNAVAILABLE'],
      ['3', 'failed', 'WORKER_UNAVAILABLE'],
      ['4', 'failed', 'WORKER_UNAVAILABLE'],
      ['5', 'succeeded', ''],
    ],
  );
  await stop();
});
