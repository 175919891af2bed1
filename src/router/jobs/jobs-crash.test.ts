// Kills the router between every two things that others can see of it, before and after each, and starts another one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { type DecideRequest } from '../../contracts/decide.ts';
import { assignmentIdOf, isTerminal, type JobStatus } from '../../contracts/job.ts';
import { crashingBus, type Crash } from './crashing-bus.ts';
import { failure, JOB_ID, openJobs, orderOf } from './jobs-fixture.ts';

const POLICY = {
  providers: [
    { name: 'alder', weight: 1 },
    { name: 'birch', weight: 0 },
  ],
  fallbacks: [
    { when: { status: '5xx' }, retry: 0, to: 'birch', backoff: { strategy: 'fixed', base_ms: 1_000, jitter: false } },
  ],
  timeout_ms: 20_000,
};
const DOWN = failure('PROVIDER_UNAVAILABLE', { error: { class: 'unavailable', retryable: true, http_status: 503 } });

type Opened = Awaited<ReturnType<typeof openJobs>>;

interface Scenario {
  readonly name: string;
  readonly order: DecideRequest;
  readonly prepare: (opened: Opened) => void;
  /** What happens while the first router lives, after the order. */
  readonly meanwhile?: (opened: Opened) => Promise<void>;
  /** How long the second router has. */
  readonly patienceMs?: number;
  readonly status: JobStatus;
  /** Attempts that the worker got, in each way in which it may come. */
  readonly attempts: readonly (readonly number[])[];
  readonly usage: number;
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a fallback after a wait',
    order: orderOf(),
    prepare: ({ script }) => script.push(DOWN),
    status: 'succeeded',
    attempts: [[1, 2]],
    usage: 2,
  },
  {
    name: 'an attempt that is lost',
    order: orderOf(),
    prepare: ({ script }) => script.push('vanish'),
    meanwhile: ({ pass }) => pass(90_000),
    // An attempt whose worker was never heard of is given ten minutes.
    patienceMs: 720_000,
    status: 'succeeded',
    // Sent again where nobody had written that it was claimed.
    attempts: [
      [1, 2],
      [1, 1],
    ],
    usage: 1,
  },
  {
    name: 'a job that waits for its moment',
    order: orderOf({}, { run_at_ms: 1_790_000_005_000 }),
    prepare: () => undefined,
    status: 'succeeded',
    attempts: [[1]],
    usage: 1,
  },
  {
    name: 'a question to people',
    order: orderOf({
      task: { type: 'human.approval', payload: { title: 'Pay?', approvers: ['key:key_2'], expires_s: 5 } },
    }),
    prepare: () => undefined,
    status: 'succeeded',
    attempts: [[1]],
    usage: 1,
  },
];

/** One life of the job with a crash in it; whether the router died at all. */
async function live(
  { order, prepare, meanwhile, patienceMs = 120_000, ...expected }: Scenario,
  crash: Crash,
): Promise<boolean> {
  const opened = await openJobs(POLICY);
  prepare(opened);
  const { bus, life } = crashingBus(opened.bus, crash);
  const mortal = opened.start(bus);
  await opened.pass(250);
  const first = opened.ask(order).catch(() => undefined);
  await opened.pass(8_000);
  await meanwhile?.(opened);
  await opened.start();
  // As the gateway asks again that heard nothing.
  if ((await first) === undefined) assert.equal((await opened.ask(order)).ok, true);
  await opened.pass(patienceMs);

  const state = await opened.state();
  assert.equal(state?.status, expected.status);
  assert.equal(state.transitions.filter(({ status }) => isTerminal(status as JobStatus)).length, 1);
  for (const [index, { seq }] of state.transitions.entries()) assert.equal(seq, index + 1);
  const attempts = opened.orders.map(({ attempt }) => attempt);
  assert.ok(
    expected.attempts.some((known) => isDeepStrictEqual(known, attempts)),
    `the worker got ${attempts.join(', ')}`,
  );
  const bills = (await opened.usage()).map(({ usage_id }) => usage_id);
  assert.equal(new Set(bills).size, bills.length, 'no attempt is billed twice');
  assert.equal(bills.length, expected.usage);
  assert.ok(bills.includes(`acme:${assignmentIdOf('acme', JOB_ID)}:${attempts.at(-1)}`));
  assert.equal(await opened.open(), 0, 'nothing is left for a sweep');
  if (!life.isDead) {
    const stopped = (await mortal)[Symbol.asyncDispose]();
    await opened.pass(1_000);
    await stopped;
  }
  await opened.stop();
  return life.isDead;
}

for (const scenario of SCENARIOS) {
  for (const isLastDone of [false, true]) {
    test(`${scenario.name} survives a router that dies ${isLastDone ? 'after' : 'before'} any effect`, async () => {
      let deaths = 0;
      while (await live(scenario, { atEffect: deaths + 1, isLastDone })) deaths++;
      assert.ok(deaths >= 5, `the router had ${deaths} effects`);
    });
  }
}
