import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../test/until.ts';
import type { ExecAssignment } from '../contracts/assignment.ts';
import { at } from '../contracts/contract.ts';
import { type AttemptOutcome, attemptOutcome } from '../contracts/outcome.ts';
import { execResult } from '../contracts/result.ts';
import { ledgerUsage, usageStream } from '../contracts/streams.ts';
import { type UsageEvent, usageMetered } from '../contracts/usage.ts';
import { CORRELATION, openRouter, settled } from './router-fixture.ts';

const POLICY = {
  providers: [
    { name: 'alder', weight: 1 },
    { name: 'birch', model: 'new-1' },
  ],
};
const shadowing = (more: object = {}) => ({ ...POLICY, shadow: { to: 'birch', share: 100, ...more } });

async function open(document: object, options: Parameters<typeof openRouter>[1] = {}) {
  const router = await openRouter(document, options);
  const copies = (): ExecAssignment[] => router.heard.pushed.filter(({ shadow }) => shadow === true);
  const own = (): ExecAssignment[] => router.heard.pushed.filter(({ shadow }) => shadow !== true);
  /** How an attempt of a request or of a copy ended. */
  const ended = async (assignment: ExecAssignment | undefined, more: Partial<AttemptOutcome> = {}): Promise<void> => {
    assert.ok(assignment);
    const outcome: AttemptOutcome = {
      version: '2',
      assignment_id: assignment.assignment_id,
      attempt: 1,
      request_id: assignment.request_id,
      tenant_id: assignment.tenant_id,
      provider_id: assignment.executor.provider_id,
      worker_id: 'w-1',
      latency_ms: 5,
      timestamp_ms: 1,
      state: 'succeeded',
      committed: false,
      ...(assignment.shadow === true ? { shadow: true } : {}),
      ...more,
    };
    router.bus.publish(at(attemptOutcome), outcome, CORRELATION);
    await settled();
  };
  const ask = async (n = 1): Promise<void> => {
    const { ok } = await router.decide({ request_id: `rq-${n}` });
    assert.equal(ok, true);
    await settled();
  };
  const counted = (result: string): number =>
    Number(new RegExp(`router_shadows_total\\{result="${result}"\\} (\\d+)`).exec(router.metrics.render())?.[1] ?? 0);
  return { ...router, copies, own, ended, ask, counted };
}

test('a copy goes to the shadow with another name, no way back and no post-processors, after the request itself', async () => {
  const registry = new Map([
    ['tidy', { id: 'tidy', type: 'post' as const, timeoutMs: 1_000, retry: 0, enabled: true, config: {} }],
  ]);
  const { ask, heard, own, copies, stop } = await open(
    { ...shadowing(), post: [{ id: 'tidy' }] },
    { extensions: registry },
  );
  await ask();
  assert.deepEqual(
    heard.pushed.map(({ shadow, executor }) => [shadow, executor.provider_id, executor.model]),
    [
      [undefined, 'alder', 'small'],
      [true, 'birch', 'new-1'],
    ],
  );
  const [copy] = copies();
  const [first] = own();
  assert.notEqual(copy?.assignment_id, first?.assignment_id);
  assert.deepEqual([copy?.deliver_to, copy?.post, copy?.attempt], [undefined, undefined, 1]);
  assert.deepEqual(
    [copy?.job, copy?.request_id, copy?.stream, copy?.dialect],
    [first?.job, first?.request_id, first?.stream, first?.dialect],
  );
  assert.equal(first?.post?.length, 1);
  await stop();
});

test('the share is drawn by the request, equally on every router, and a condition may narrow it', async () => {
  const half = await open(shadowing({ share: 50, max_in_flight: 1_000 }), { inFlightMax: 1_000 });
  for (let n = 0; n < 200; n++) await half.ask(n); // eslint-disable-line no-await-in-loop -- one after the other
  const drawn = half.copies().map(({ request_id }) => request_id);
  assert.ok(drawn.length > 70 && drawn.length < 130, String(drawn.length));
  await half.stop();
  const again = await open(shadowing({ share: 50, max_in_flight: 1_000 }), { inFlightMax: 1_000 });
  for (let n = 0; n < 200; n++) await again.ask(n); // eslint-disable-line no-await-in-loop -- as above
  assert.deepEqual(
    again.copies().map(({ request_id }) => request_id),
    drawn,
  );
  await again.stop();
  for (const narrowed of [{ share: 0 }, { when: { team: 'blue' } }]) {
    // oxlint-disable no-await-in-loop -- one router after the other
    const none = await open(shadowing(narrowed));
    await none.ask();
    assert.deepEqual([none.copies().length, none.own().length], [0, 1]);
    await none.stop();
  }
});

test('a dry run and a decision that is only asked for are not copied', async () => {
  const { decide, heard, stop } = await open(shadowing());
  await decide({ push_assignment: false });
  await decide({ push_assignment: false, options: { dry_run: true } });
  await settled();
  assert.deepEqual(heard.pushed, []);
  await stop();
});

test('there are four copies at once and no more; one that ended, was refused or was lost makes room', async () => {
  const { ask, copies, ended, counted, script, pass, stop } = await open(shadowing());
  for (let n = 0; n < 6; n++) await ask(n);
  assert.deepEqual([copies().length, counted('sent'), counted('in_flight')], [4, 4, 2]);
  await ended(copies()[0], { state: 'committed' });
  await ask(7);
  assert.equal(copies().length, 4, 'it goes on after its first chunk');
  await ended(copies()[0]);
  await ask(8);
  assert.deepEqual([copies().length, counted('succeeded')], [5, 1]);
  await pass(33_000);
  assert.equal(counted('lost'), 4);
  script.push('accept', { status: 'rejected', reason: 'queue_full' });
  await ask(9);
  assert.equal(counted('refused'), 1);
  for (let n = 10; n < 14; n++) await ask(n);
  assert.equal(counted('in_flight'), 3, 'the refused one holds no place');
  await stop();
});

test('a router that is nearly full, and a pool that is overloaded, make no copies', async () => {
  const full = await open(shadowing({ max_in_flight: 100 }), { inFlightMax: 10 });
  for (let n = 0; n < 10; n++) await full.ask(n);
  assert.deepEqual([full.own().length, full.copies().length, full.counted('backpressure')], [10, 8, 2]);
  await full.stop();
  const pool = await open(shadowing());
  pool.beat('w-1', { overload_status: 'overloaded' });
  await settled();
  await pool.ask();
  assert.deepEqual([pool.own().length, pool.copies().length, pool.counted('backpressure')], [1, 0, 1]);
  pool.beat('w-1', { overload_status: 'degraded' });
  await settled();
  await pool.ask(2);
  assert.equal(pool.copies().length, 1);
  await pool.stop();
});

test('what a copy does changes nothing for requests: no frame, no retry, no breaker, no cooldown', async () => {
  const document = {
    ...shadowing({ max_in_flight: 100 }),
    circuit_breaker: { enabled: true, failure_threshold: 1 },
    fallbacks: [{ when: { status: 'unavailable' }, retry: 0, to: 'birch' }],
  };
  const { ask, copies, own, ended, heard, pass, stop } = await open(document);
  const down = { class: 'unavailable', code: 'PROVIDER_UNAVAILABLE', retryable: true };
  const limited = { class: 'limit', code: 'PROVIDER_RATE_LIMITED', retryable: true, retry_after_ms: 60_000 };
  await ask(1);
  await ended(copies()[0], { state: 'failed', error: down });
  await ask(2);
  await ended(copies()[1], { state: 'failed', error: limited });
  assert.deepEqual([own().length, heard.frames], [2, []]);
  await ended(own()[1], { state: 'failed', error: down });
  await pass(500);
  assert.equal(own()[2]?.executor.provider_id, 'birch', 'it is neither open nor cooling');
  await stop();
});

test('the latency of a copy is not that of its provider', async () => {
  const document = {
    providers: [
      { name: 'alder', weight: 1 },
      { name: 'birch', weight: 1 },
    ],
    strategy: 'latency',
    strategy_options: { min_samples: 1, tolerance: 0 },
    shadow: { to: 'birch', share: 100, max_in_flight: 100 },
  };
  const { ask, copies, own, ended, stop } = await open(document);
  await ask(1);
  await ended(copies()[0], { latency_ms: 500, ttft_ms: 500 });
  const asked = new Set<string>();
  // Who is not measured counts as the best; measured by its copies, birch would be asked no more.
  for (let n = 2; n < 30; n++) {
    await ask(n);
    asked.add(own().at(-1)?.executor.provider_id ?? '');
  }
  assert.deepEqual([...asked].toSorted(), ['alder', 'birch']);
  await stop();
});

test('what a copy consumed is a usage event that is never billed', async () => {
  const { bus, stop } = await open(shadowing());
  const events: UsageEvent[] = [];
  await bus.consume({ stream: usageStream, consumer: ledgerUsage, message: usageMetered.message }, (delivery) => {
    events.push(delivery.message);
    delivery.ack();
  });
  const usage = { model: 'new-1', input_tokens: 3, output_tokens: 1, cost_micro_usd: 5 };
  const result = { assignment_id: 's-1', request_id: 'rq-1', tenant_id: 'acme', status: 'success', usage } as const;
  const append = (messageId: string, more: object) =>
    bus.append(at(execResult), { ...result, ...more }, { messageId, timeoutMs: 1_000, correlation: CORRELATION });
  await append('one', { shadow: true });
  await append('two', { assignment_id: 'a-1' });
  await until('both events', () => events.length === 2);
  assert.deepEqual(
    events.map(({ request_id, billable, shadow, cost_micro_usd }) => [request_id, billable, shadow, cost_micro_usd]),
    [
      ['rq-1', false, true, 5],
      ['rq-1', true, undefined, 5],
    ],
  );
  await stop();
});
