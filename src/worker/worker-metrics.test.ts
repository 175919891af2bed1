import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from '../telemetry/metrics.ts';
import { ProviderMetrics } from './provider-metrics.ts';
import { openWorker, ROLE, settled, text } from './worker-fixture.ts';

/** The samples of a page by name and labels. */
const samplesOf = (page: string): ReadonlyMap<string, number> =>
  new Map(
    page.split('\n').flatMap((line) => {
      const [, name = '', value] = /^([^#\s]\S*) (\S+)$/.exec(line) ?? [];
      return value === undefined ? [] : [[name, Number(value)]];
    }),
  );

test('a call is counted and timed: its places, its wait, its provider, its tokens and its cost', async () => {
  const world = await openWorker({ io: 1 });
  await world.call();
  await world.call({ assignment_id: 'a-2' });
  const busy = samplesOf(world.metrics.render());
  assert.equal(busy.get('worker_slots{class="io",mode="call"}'), 1);
  assert.equal(busy.get('worker_slots_active{class="io",mode="call"}'), 1);
  assert.equal(busy.get('worker_queue_depth{class="io",mode="call"}'), 1);
  assert.equal(busy.get('worker_overload_level'), 0);
  assert.equal(busy.get('worker_bus_connected'), 1);

  world.pass(300);
  world.provider.chunk(ROLE);
  world.provider.chunk(text('hello'));
  world.pass(300);
  world.provider.end();
  await settled();
  const done = samplesOf(world.metrics.render());
  const succeeded = 'provider="hand",model="small",status="succeeded"';
  assert.equal(done.get('worker_queue_wait_seconds_count{class="io",mode="call"}'), 2);
  assert.equal(done.get('worker_queue_wait_seconds_sum{class="io",mode="call"}'), 0.6);
  assert.equal(done.get('worker_attempt_seconds_sum{type="ai.chat",mode="call",status="succeeded"}'), 0.6);
  assert.equal(done.get(`worker_provider_requests_total{${succeeded}}`), 1);
  assert.equal(done.get(`worker_provider_seconds_sum{${succeeded}}`), 0.6);
  assert.equal(done.get(`worker_first_chunk_seconds_sum{${succeeded}}`), 0.3);
  const tokens = ['input', 'output', 'cached_input', 'reasoning'].map((kind) =>
    done.get(`worker_tokens_total{provider="hand",model="small",kind="${kind}"}`),
  );
  assert.deepEqual(tokens, [10, 4, 3, 0]);
  assert.equal(done.get('worker_cost_micro_usd_total{provider="hand",model="small"}'), 18);

  world.provider.sinks.at(-1)?.fail({ code: 'EXECUTION_FAILED', message: 'no' });
  await settled();
  const failed = samplesOf(world.metrics.render());
  assert.equal(failed.get('worker_provider_seconds_count{provider="hand",model="small",status="failed"}'), 1);
  const errors = [...failed].filter(([name]) =>
    name.startsWith('worker_errors_total{type="ai.chat",code="EXECUTION_FAILED"'),
  );
  assert.deepEqual(
    errors.map(([, count]) => count),
    [1],
  );
  await world.stop();
});

test('names that the configuration does not have become one label, or none', () => {
  const metrics = new Metrics();
  const providers = new ProviderMetrics(metrics, new Map([['alder', ['small']]]));
  const usage = { model: 'm', input_tokens: 1, output_tokens: 0, cost_micro_usd: 0 };
  const attempt = { state: 'succeeded', usage, ranMs: 5, firstChunkMs: undefined } as const;
  for (let n = 0; n < 100; n++) {
    providers.ended({ ...attempt, provider: 'alder', model: `made-up-${n}` });
    providers.ended({ ...attempt, provider: `made-up-${n}`, model: 'small' });
  }
  const page = metrics.render();
  assert.ok(!page.includes('made-up'));
  assert.equal(samplesOf(page).get('worker_tokens_total{provider="alder",model="other",kind="input"}'), 100);
});

test('an attempt whose provider was never asked is none of a provider', () => {
  const metrics = new Metrics();
  const providers = new ProviderMetrics(metrics, new Map([['alder', ['small']]]));
  providers.ended({
    provider: 'alder',
    model: 'small',
    state: 'cancelled',
    usage: undefined,
    ranMs: undefined,
    firstChunkMs: undefined,
  });
  assert.ok(!metrics.render().includes('worker_provider_seconds_count'));
});
