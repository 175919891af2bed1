import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cancel } from '../contracts/cancel.ts';
import { at } from '../contracts/contract.ts';
import { replay } from '../policy/replay.ts';
import { DecisionRing } from './decision-ring.ts';
import { CORRELATION, openRouter, policyOf } from './router-fixture.ts';

/** Everything goes to alder, and to birch when alder cannot; a failure ends the request, so each is one sample. */
const ALDER_ELSE_BIRCH = {
  providers: [
    { name: 'alder', weight: 1 },
    { name: 'birch', weight: 0 },
  ],
  fallbacks: [{ when: { status: 'all_providers_failed' }, to: 'birch' }],
  retry: { max_attempts: 1 },
  circuit_breaker: {
    enabled: true,
    failure_threshold: 5,
    success_threshold: 1,
    timeout_ms: 30_000,
    half_open_max_calls: 1,
  },
};

type Opened = Awaited<ReturnType<typeof openRouter>>;

async function failTimes({ decide, fail }: Opened, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    await decide();
    await fail('PROVIDER_UNAVAILABLE');
  }
}

/** Where a request goes now; its attempt stays open. */
async function goesTo({ decide, providers }: Opened): Promise<string | undefined> {
  const { ok } = await decide();
  return ok ? providers().at(-1) : undefined;
}

test('five failures open the breaker, others serve meanwhile, and one good probe closes it', async () => {
  const opened = await openRouter(ALDER_ELSE_BIRCH);
  const { decide, outcome, pass, metrics, stop } = opened;
  await failTimes(opened, 4);
  assert.equal(await goesTo(opened), 'alder', 'four are not enough');
  await opened.fail('PROVIDER_UNAVAILABLE');
  const { decision } = await decide();
  assert.deepEqual(
    [decision?.provider_id, decision?.reason, decision?.fallback_used],
    ['birch', 'circuit_breaker_fallback', true],
  );
  assert.match(metrics.render(), /router_breaker_state\{provider="alder",tenant_id="acme"\} 2/);
  await outcome({ state: 'succeeded' });
  await pass(29_000);
  assert.equal(await goesTo(opened), 'birch');
  await outcome({ state: 'succeeded' });
  await pass(1_000);
  assert.equal(await goesTo(opened), 'alder', 'the probe');
  const { assignment: other } = await decide({ request_id: 'rq-2' });
  assert.equal(opened.providers().at(-1), 'birch', 'there is one permit');
  const probe = opened.heard.pushed.at(-2)?.assignment_id;
  assert.ok(probe !== undefined && probe !== other?.assignment_id);
  await outcome({ state: 'succeeded', assignment_id: probe, provider_id: 'alder' });
  await pass(100);
  assert.equal(await goesTo(opened), 'alder');
  assert.match(metrics.render(), /router_breaker_state\{provider="alder",tenant_id="acme"\} 0/);
  await stop();
});

test('an expression sees a breaker that lets a few attempts try', async () => {
  // eslint-disable-next-line unicorn/no-thenable -- the word of the language
  const rules = [{ id: 'careful', then: { where: "provider.breaker != 'half_open'" } }];
  const opened = await openRouter({ ...ALDER_ELSE_BIRCH, rules });
  await failTimes(opened, 5);
  await opened.pass(30_000);
  const { decision } = await opened.decide({ options: { explain: 'detailed' } });
  assert.deepEqual([decision?.provider_id, decision?.reason], ['birch', 'fallback']);
  await opened.stop();
});

test('with every breaker open the request is refused as such', async () => {
  const opened = await openRouter({
    weights: { alder: 1 },
    retry: { max_attempts: 1 },
    circuit_breaker: { enabled: true },
  });
  await failTimes(opened, 5);
  const { ok, error } = await opened.decide();
  assert.deepEqual([ok, error?.code, error?.retryable], [false, 'circuit_breaker_open', true]);
  await opened.stop();
});

for (const [what, document] of [
  ['without a breaker', { ...ALDER_ELSE_BIRCH, circuit_breaker: { enabled: false } }],
  ['of the caller', ALDER_ELSE_BIRCH],
] as const) {
  test(`failures ${what} open nothing`, async () => {
    const opened = await openRouter(document);
    for (let i = 0; i < 20; i++) {
      await opened.decide();
      if (what === 'without a breaker') await opened.fail('PROVIDER_UNAVAILABLE');
      else await opened.fail('INVALID_INPUT', { class: 'validation', retryable: false });
    }
    assert.equal(await goesTo(opened), 'alder');
    await opened.stop();
  });
}

test('failures of our own workers say nothing of the provider', async () => {
  const opened = await openRouter(ALDER_ELSE_BIRCH);
  for (let i = 0; i < 3; i++) {
    await opened.decide();
    for (let repeat = 0; repeat < 4; repeat++) await opened.fail('WORKER_UNAVAILABLE');
    await opened.decide();
    await opened.outcome({ state: 'committed', committed: true });
    await opened.fail('STREAM_INTERRUPTED', { detail_code: 'WORKER_LOST', retryable: false });
  }
  assert.equal(await goesTo(opened), 'alder');
  await opened.stop();
});

test('routers that hear the same outcomes come to the same view', async () => {
  const opened = await openRouter(ALDER_ELSE_BIRCH);
  const { decide, outcome, join, stop } = opened;
  await join();
  await decide();
  for (let i = 0; i < 5; i++) {
    await outcome({
      assignment_id: `of-another-router-${i}`,
      error: { class: 'timeout', code: 'CONNECTION_TIMEOUT', retryable: true },
    });
  }
  for (let i = 0; i < 4; i++) assert.equal(await goesTo(opened), 'birch', 'each of the two routers, twice');
  await stop();
});

test('a provider at its limit rests as long as it asked for, and no other rests with it', async () => {
  const opened = await openRouter(ALDER_ELSE_BIRCH);
  const { decide, fail, pass, providers, stop } = opened;
  await decide();
  await fail('PROVIDER_RATE_LIMITED', { class: 'limit', retry_after_ms: 20_000 });
  assert.equal(await goesTo(opened), 'birch');
  await decide({ tenant_id: 'umbra', policy_id: 'default', constraints: { providers_allow: ['alder'] } });
  assert.equal(providers().at(-1), 'alder', 'the limit is that of one tenant');
  await pass(19_900);
  assert.equal(await goesTo(opened), 'birch');
  await pass(100);
  assert.equal(await goesTo(opened), 'alder');
  await stop();
});

test('a probe whose worker is lost keeps its permit on the next worker, and gives it back at the end', async () => {
  const opened = await openRouter(ALDER_ELSE_BIRCH);
  const { beat, heard, fail, pass, stop } = opened;
  await failTimes(opened, 5);
  await pass(30_000);
  beat('w-1');
  assert.equal(await goesTo(opened), 'alder');
  await pass(4_000);
  assert.deepEqual(
    heard.pushed.slice(-2).map(({ attempt, executor }) => [attempt, executor.provider_id]),
    [
      [1, 'alder'],
      [2, 'alder'],
    ],
    'at once on another worker',
  );
  assert.equal(await goesTo(opened), 'birch', 'the permit is still taken');
  const probe = heard.pushed.at(-2);
  for (const attempt of [2, 3, 4]) {
    await opened.outcome({
      assignment_id: probe?.assignment_id ?? '',
      attempt,
      provider_id: 'alder',
      error: { class: 'unavailable', code: 'WORKER_LOST', retryable: true },
    });
  }
  assert.equal(heard.frames.at(-1)?.type, 'error', 'three workers were tried');
  assert.equal(await goesTo(opened), 'alder', 'the permit came back');
  await fail('PROVIDER_UNAVAILABLE');
  assert.equal(await goesTo(opened), 'birch', 'one failed probe opens it again');
  await stop();
});

test('a probe that is cancelled or falls silent gives its permit back', async () => {
  const opened = await openRouter(ALDER_ELSE_BIRCH);
  const { bus, decide, pass, providers, stop } = opened;
  await failTimes(opened, 5);
  await pass(30_000);
  const { assignment } = await decide();
  assert.equal(providers().at(-1), 'alder');
  bus.publish(
    at(cancel),
    {
      version: '2',
      tenant_id: 'acme',
      assignment_id: assignment?.assignment_id ?? '',
      requested_at_ms: 1,
      reason: 'client_disconnected',
    },
    CORRELATION,
  );
  await decide({ deadline_ms: 2_000 });
  assert.equal(providers().at(-1), 'alder');
  assert.equal(await goesTo(opened), 'birch');
  await pass(2_100);
  assert.equal(await goesTo(opened), 'alder', 'its deadline has passed');
  await stop();
});

test('a dry run takes no permit', async () => {
  const opened = await openRouter(ALDER_ELSE_BIRCH);
  await failTimes(opened, 5);
  await opened.pass(30_000);
  const { decision } = await opened.decide({ options: { dry_run: true } });
  assert.equal(decision?.provider_id, 'alder');
  assert.equal(await goesTo(opened), 'alder');
  await opened.stop();
});

test('the retry budget stops a storm: requests end with their failure and say why', async () => {
  const opened = await openRouter({
    weights: { alder: 1 },
    fallbacks: [
      {
        when: { status: 'unavailable' },
        retry: 3,
        to: 'alder',
        backoff: { strategy: 'fixed', base_ms: 1, jitter: false },
      },
    ],
    retry: { max_attempts: 4, budget: { ratio: 0.5, min_retries: 2, window_seconds: 10 } },
  });
  const { heard, decide, fail, pass, stop } = opened;
  for (let i = 0; i < 20; i++) {
    await decide({ request_id: `rq-${i}` });
    for (let sent = 0; sent !== heard.pushed.length;) {
      sent = heard.pushed.length;
      await fail('PROVIDER_UNAVAILABLE');
      await pass(50);
    }
  }
  assert.equal(heard.pushed.length, 30, 'a half more than were asked for');
  const told = heard.frames.map((frame) => (frame.type === 'error' ? frame.error.details : undefined));
  assert.equal(heard.frames.length, 20);
  assert.ok(told.some((details) => details?.['retry_budget_exhausted'] === true));
  await pass(10_000);
  await decide();
  await fail('PROVIDER_UNAVAILABLE');
  await pass(50);
  assert.equal(heard.pushed.length, 32, 'later there is a budget again');
  await stop();
});

test('a pool whose workers are all critical takes no request, and a router that heard no worker asks anyway', async () => {
  const opened = await openRouter();
  const { beat, decide, stop } = opened;
  assert.equal(await goesTo(opened), 'alder');
  beat('w-1', { overload_status: 'critical' });
  const { error } = await decide();
  assert.equal(error?.code, 'no_provider_available');
  beat('w-1', { overload_status: 'overloaded' });
  assert.equal(await goesTo(opened), 'alder');
  await stop();
});

test('a provider serves as many of a tenant at once as its policy says', async () => {
  const opened = await openRouter({
    ...ALDER_ELSE_BIRCH,
    providers: [
      { name: 'alder', weight: 1, max_in_flight: 2 },
      { name: 'birch', weight: 0 },
    ],
  });
  const { outcome, stop, heard } = opened;
  assert.deepEqual([await goesTo(opened), await goesTo(opened), await goesTo(opened)], ['alder', 'alder', 'birch']);
  const [first] = heard.pushed;
  await outcome({ state: 'succeeded', assignment_id: first?.assignment_id ?? '', provider_id: 'alder' });
  assert.deepEqual([await goesTo(opened), await goesTo(opened)], ['alder', 'birch']);
  await stop();
});

test('routers share the places of a provider in whole parts, and a record of a decision says which part it had', async () => {
  const document = {
    ...ALDER_ELSE_BIRCH,
    providers: [
      { name: 'alder', weight: 1, max_in_flight: 4 },
      { name: 'birch', weight: 0 },
    ],
  };
  let inAll = 0;
  for (const rank of [0, 1, 2]) {
    const records = new DecisionRing();
    const opened = await openRouter(document, { records, routers: () => ({ count: 3, rank }) });
    const went = [await goesTo(opened), await goesTo(opened), await goesTo(opened)];
    inAll += went.filter((provider) => provider === 'alder').length;
    assert.equal(went[2], 'birch');
    await opened.pass(2_000);
    const report = replay(
      Array.from(records.read()).flatMap((step) => step?.entry ?? []),
      { own: () => policyOf(document), candidate: () => policyOf(document) },
    );
    assert.deepEqual([report.tested, report.mismatch, report.changed], [3, 0, 0]);
    await opened.stop();
  }
  assert.equal(inAll, 4);
});

test('the faster provider is taken once there are results of all', async () => {
  const opened = await openRouter({
    weights: { alder: 1, birch: 1 },
    strategy: 'latency',
    strategy_options: { min_samples: 1 },
  });
  const { decide, outcome, providers, stop } = opened;
  const untried = new Set(['alder', 'birch']);
  for (let i = 0; untried.size > 0 && i < 50; i++) {
    await decide({ request_id: `rq-${i}` });
    const provider = providers().at(-1) ?? '';
    untried.delete(provider);
    await outcome({ state: 'succeeded', latency_ms: 1_000, ttft_ms: provider === 'alder' ? 900 : 300 });
  }
  assert.equal(untried.size, 0, 'an unknown provider counts as the best');
  for (let i = 0; i < 10; i++) {
    await decide({ request_id: `rq-later-${i}` });
    assert.equal(providers().at(-1), 'birch');
  }
  await stop();
});
