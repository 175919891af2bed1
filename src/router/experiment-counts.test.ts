import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cancel } from '../contracts/cancel.ts';
import { at } from '../contracts/contract.ts';
import { assignmentIdOf } from '../contracts/job.ts';
import { type ExecResult, execResult } from '../contracts/result.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { until } from '../../test/until.ts';
import { experimentCounts } from './experiment-counts.ts';
import { CORRELATION, openRouter } from './router-fixture.ts';

const DOCUMENT = {
  providers: [
    { name: 'alder', weight: 1 },
    { name: 'birch', weight: 0 },
  ],
  experiments: [
    {
      id: 'smaller',
      unit: 'session',
      arms: [
        { name: 'control', share: 100 },
        { name: 'other', share: 0 },
      ],
    },
  ],
  fallbacks: [{ when: { status: '5xx' }, retry: 0, to: 'birch' }],
};
const ENROLLED = { context: { session: 's-1' } };

const countsIn = (metrics: Metrics): readonly string[] =>
  metrics
    .render()
    .split('\n')
    .filter((line) => line.startsWith('router_experiment_total'));

const counted = (result: string): readonly string[] => [
  `router_experiment_total{experiment="smaller",arm="control",result="${result}"} 1`,
];

type Router = Awaited<ReturnType<typeof openRouter>>;

const ENDS: Readonly<Record<string, (router: Router, assignmentId: string) => Promise<void>>> = {
  succeeded: ({ outcome }) => outcome({ state: 'succeeded' }),
  fallback: async ({ fail, pass, outcome }) => {
    await fail('PROVIDER_UNAVAILABLE', { http_status: 503 });
    await pass(200);
    await outcome({ state: 'succeeded' });
  },
  blocked: ({ fail }) => fail('CONTENT_BLOCKED', { class: 'validation', retryable: false }),
  failed: ({ fail }) => fail('INVALID_INPUT', { class: 'validation', retryable: false }),
  timed_out: ({ pass }) => pass(1_000),
  cancelled: async ({ bus, pass }, assignment_id) => {
    const about = { version: '2', tenant_id: 'acme', assignment_id, requested_at_ms: 1 } as const;
    bus.publish(at(cancel), { ...about, reason: 'client_disconnected' }, CORRELATION);
    await pass(50);
  },
};

for (const [result, end] of Object.entries(ENDS)) {
  test(`a request of an experiment is counted once in its arm, as ${result}`, async () => {
    const router = await openRouter(DOCUMENT);
    const { assignment } = await router.decide({ ...ENROLLED, deadline_ms: 1_000 });
    assert.deepEqual(countsIn(router.metrics), []);
    await end(router, assignment?.assignment_id ?? '');
    assert.deepEqual(countsIn(router.metrics), counted(result));
    await router.stop();
  });
}

test('a request that is cancelled while it waits for its fallback counts as cancelled', async () => {
  const [fallback] = DOCUMENT.fallbacks;
  const slow = { ...DOCUMENT, fallbacks: [{ ...fallback, backoff: { jitter: false, base_ms: 1_000 } }] };
  const router = await openRouter(slow);
  const { assignment } = await router.decide(ENROLLED);
  await router.fail('PROVIDER_UNAVAILABLE', { http_status: 503 });
  await ENDS['cancelled']?.(router, assignment?.assignment_id ?? '');
  assert.deepEqual(countsIn(router.metrics), counted('cancelled'));
  await router.stop();
});

test('a request of no experiment, or one that its router left to another, is not counted', async () => {
  const router = await openRouter(DOCUMENT);
  await router.decide();
  await router.outcome({ state: 'succeeded' });
  await router.decide(ENROLLED);
  await router.fail('PROVIDER_UNAVAILABLE', { http_status: 503 });
  await router.pass(200);
  await router.stop();
  assert.deepEqual(router.providers(), ['alder', 'alder', 'birch']);
  assert.deepEqual(countsIn(router.metrics), []);
});

const linesOf = (metrics: Metrics, name: string): readonly string[] =>
  metrics
    .render()
    .split('\n')
    .filter((line) => line.startsWith(`router_experiment_${name}`));

test('of a request that was answered the latency and the time to the first chunk are measured, of others neither', async () => {
  const router = await openRouter(DOCUMENT);
  await router.decide(ENROLLED);
  await router.outcome({ state: 'succeeded', latency_ms: 700, ttft_ms: 90 });
  await router.decide(ENROLLED);
  await router.outcome({ state: 'succeeded', latency_ms: 300 });
  await router.decide(ENROLLED);
  await router.fail('INVALID_INPUT', { class: 'validation', retryable: false });
  const sums = (name: string): readonly string[] =>
    linesOf(router.metrics, name).filter((line) => /_(?:sum|count)/.test(line));
  assert.deepEqual(sums('latency_seconds'), [
    'router_experiment_latency_seconds_sum{experiment="smaller",arm="control"} 1',
    'router_experiment_latency_seconds_count{experiment="smaller",arm="control"} 2',
  ]);
  assert.deepEqual(sums('first_chunk_seconds'), [
    'router_experiment_first_chunk_seconds_sum{experiment="smaller",arm="control"} 0.09',
    'router_experiment_first_chunk_seconds_count{experiment="smaller",arm="control"} 1',
  ]);
  await router.stop();
});

test('tokens and cost of every attempt are counted in the arm, once for each, and those of jobs are not', async () => {
  const router = await openRouter(DOCUMENT);
  const { bus, heard, metrics } = router;
  await router.decide(ENROLLED);
  const [pushed] = heard.pushed;
  assert.ok(pushed);
  const took = async (assignmentId: string, attempt: number, messageId: string): Promise<void> => {
    const result: ExecResult = {
      version: '1',
      assignment_id: assignmentId,
      request_id: pushed.request_id,
      tenant_id: 'acme',
      status: attempt === 1 ? 'error' : 'success',
      attempt,
      job: { type: 'ai.chat', metadata: pushed.metadata ?? {} },
      usage: { model: 'small', input_tokens: 30, output_tokens: attempt, cost_micro_usd: 500 },
    };
    await bus.append(at(execResult), result, { messageId, timeoutMs: 1_000, correlation: CORRELATION });
  };
  await took(pushed.assignment_id, 1, 'one');
  await took(pushed.assignment_id, 2, 'two');
  await took(pushed.assignment_id, 2, 'two, delivered again');
  await took(assignmentIdOf('acme', 'a job'), 1, 'of a job');
  const events = 'router_usage_events_total{result="sent"} 4';
  await until('the usage events', () => metrics.render().includes(events));
  assert.deepEqual(linesOf(metrics, 'tokens_total'), [
    'router_experiment_tokens_total{experiment="smaller",arm="control",kind="input"} 60',
    'router_experiment_tokens_total{experiment="smaller",arm="control",kind="output"} 3',
  ]);
  assert.deepEqual(linesOf(metrics, 'cost'), [
    'router_experiment_cost_micro_usd_total{experiment="smaller",arm="control"} 1000',
  ]);
  await router.stop();
});

test('experiments without end are counted together above the bound', () => {
  const metrics = new Metrics();
  const counts = experimentCounts(metrics);
  const last = { attempt: 1, provider_id: 'alder', state: 'succeeded', latency_ms: 1 } as const;
  for (let n = 0; n < 3_000; n++) {
    const arms = [{ experiment: `e-${n}`, arm: 'a' }];
    counts.ended({ arms, fallbackUsed: false, target: { name: 'alder' } }, last);
  }
  const lines = countsIn(metrics);
  assert.equal(lines.length, 2_001);
  assert.equal(lines.at(-1), 'router_experiment_total{experiment="other",arm="other",result="other"} 1000');
  const measured = linesOf(metrics, 'latency_seconds_count');
  assert.deepEqual(
    [measured.length, measured.at(-1)],
    [2_001, 'router_experiment_latency_seconds_count{experiment="other",arm="other"} 1000'],
  );
});
