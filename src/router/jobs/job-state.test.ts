import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isTerminal, jobBucket, type JobRequest, type JobState, jobState } from '../../contracts/job.ts';
import {
  accepted,
  addedLate,
  annotated,
  attemptOut,
  begun,
  cancelAsked,
  ended,
  given,
  type Next,
  published,
  type PublishedAttempt,
  sentAgain,
  waits,
} from './job-state.ts';

const REQUEST: JobRequest = {
  version: '2',
  job_id: 'job_1',
  assignment_id: 'a-1',
  tenant_id: 'acme',
  request: { version: '2', request_id: 'rq-1', tenant_id: 'acme', task: { type: 'ai.chat' } },
  digest: '0'.repeat(64),
  router_id: 'r-1',
  created_at_ms: 1_000,
  expires_at_ms: 100_000,
};

const KEPT = {
  attempt: 1,
  counted: 1,
  current: { name: 'alder', pool: 'default' },
  reason: 'weighted',
  priority: 50,
  failed: [],
  tries: [],
  failovers: 0,
  has_escalated: false,
  worker_tries: 0,
  deadline_ms: 1_000,
};

const attemptOf = (attempt: number): PublishedAttempt => ({
  attempt,
  providerId: 'alder',
  model: 'small',
  pool: 'default',
  reason: 'weighted',
  storedSeq: 4,
  dueAtMs: 50_000,
  policy: { id: 'default', revision: 3 },
  history: KEPT,
});

const LOST = { code: 'worker_lost', error_code: 'WORKER_LOST', message: 'lost', retryable: true };
const RETRY: Next = { kind: 'retry', atMs: 5_000, history: KEPT };
const DONE: Next = { kind: 'over', status: 'succeeded' };

/** The state after steps that all apply. */
function after(...steps: readonly ((state: JobState) => JobState | undefined)[]): JobState {
  let state = begun(REQUEST);
  for (const step of steps) {
    const next = step(state);
    assert.ok(next !== undefined, 'the step applies');
    state = next;
  }
  return state;
}

const publish = (attempt: number) => (state: JobState) => published(state, attemptOf(attempt), 2_000);
const accept = (attempt: number) => (state: JobState) =>
  accepted(state, { attempt, workerId: 'w-1', dueAtMs: 60_000 }, 3_000);
const fail = (attempt: number) => (state: JobState) =>
  ended(state, { attempt, status: 'failed', error: LOST, costMicroUsd: 7 }, RETRY, 4_000);
const succeed = (attempt: number) => (state: JobState) =>
  ended(state, { attempt, status: 'succeeded', result: { output: 'yes' }, costMicroUsd: 5 }, DONE, 6_000);

test('a job goes through its attempts to its result', () => {
  const state = after(publish(1), accept(1), fail(1), publish(2), succeed(2));
  assert.deepEqual(
    state.transitions.map(({ seq, status, attempt }) => [seq, status, attempt]),
    [
      [1, 'queued', 0],
      [2, 'running', 1],
      [3, 'retry_wait', 1],
      [4, 'running', 2],
      [5, 'succeeded', 2],
    ],
  );
  assert.deepEqual(
    state.attempts.map(({ attempt, status }) => [attempt, status]),
    [
      [1, 'failed'],
      [2, 'succeeded'],
    ],
  );
  assert.deepEqual([state.result?.output, state.cost_micro_usd, state.ended_at_ms], ['yes', 12, 6_000]);
});

test('a late result of a lost attempt changes nothing', () => {
  const lost = (state: JobState) => ended(state, { attempt: 1, status: 'lost', error: LOST }, RETRY, 4_000);
  const waiting = after(publish(1), accept(1), lost);
  assert.equal(succeed(1)(waiting), undefined);
  assert.equal(succeed(1)(after(publish(1), lost, publish(2))), undefined);
});

test('a cancel ends a job that nobody runs, and waits for the end of one that is out', () => {
  const cancel = (state: JobState) => cancelAsked(state, 'client_cancel', 2_500);
  for (const steps of [[], [publish(1), fail(1)]]) assert.equal(after(...steps, cancel).status, 'cancelled');
  const asked = after(publish(1), accept(1), cancel);
  assert.deepEqual([asked.status, asked.cancel?.reason], ['running', 'client_cancel']);
  assert.equal(cancel(asked), undefined, 'asked once');
  assert.equal(fail(1)(asked)?.status, 'cancelled', 'no attempt follows');
  assert.equal(succeed(1)(asked)?.status, 'succeeded', 'it came too late');
});

test('a redelivered attempt has another worker and more time', () => {
  const again = accepted(after(publish(1), accept(1)), { attempt: 1, workerId: 'w-2', dueAtMs: 70_000 }, 9_000);
  assert.deepEqual([again?.attempts[0]?.worker_id, again?.attempts[0]?.due_at_ms], ['w-2', 70_000]);
  assert.equal(again?.transitions.length, 2);
});

test('what a job waits for before its first attempt is forgotten with it', () => {
  const waiting = after((state) => waits(state, 'approval', 9_000, 1_500));
  assert.deepEqual([waiting.waiting_for, waiting.next_at_ms], ['approval', 9_000]);
  assert.equal(waits(waiting, 'approval', 9_000, 1_600), undefined);
  const out = publish(1)(waiting);
  assert.deepEqual([out?.waiting_for, out?.next_at_ms, out?.status], [undefined, undefined, 'queued']);
});

const word = fc.oneof(
  fc.record({
    kind: fc.constantFrom('publish', 'resend', 'accept', 'succeed', 'fail', 'lose', 'late'),
    attempt: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({ kind: fc.constantFrom('cancel', 'expire', 'annotate', 'wait'), attempt: fc.constant(0) }),
);
type Word = typeof word extends fc.Arbitrary<infer W> ? W : never;

function hear(state: JobState, { kind, attempt }: Word, nowMs: number): JobState | undefined {
  switch (kind) {
    case 'publish':
      return published(state, attemptOf(attempt), nowMs);
    case 'resend':
      return sentAgain(state, { attempt, storedSeq: 9 }, nowMs);
    case 'accept':
      return accepted(state, { attempt, workerId: 'w-1', dueAtMs: nowMs }, nowMs);
    case 'succeed':
      return ended(state, { attempt, status: 'succeeded', costMicroUsd: attempt }, DONE, nowMs);
    case 'fail':
      return ended(state, { attempt, status: 'failed', error: LOST, costMicroUsd: attempt }, RETRY, nowMs);
    case 'lose':
      return ended(state, { attempt, status: 'lost', error: LOST }, RETRY, nowMs);
    case 'late':
      return addedLate(
        state,
        { of: attemptOf(attempt), end: { attempt, status: 'succeeded', costMicroUsd: 3 } },
        nowMs,
      );
    case 'cancel':
      return cancelAsked(state, 'client_cancel', nowMs);
    case 'expire':
      return given(state, 'timed_out', LOST, nowMs);
    case 'wait':
      return waits(state, 'run_at', nowMs + 5, nowMs);
    case 'annotate':
      return annotated(state, { tags: ['t'] }, nowMs);
  }
}

const supersedes = (ours: object, standing: object): boolean | undefined =>
  jobBucket.supersedes?.(JSON.stringify(ours), JSON.stringify(standing));

test('of two ends the first counts, and neither a request nor another job is in the place of a state', () => {
  const first = after((state) => given(state, 'timed_out', LOST, 5_000));
  const second = after((state) => given(state, 'failed', LOST, 6_000));
  assert.deepEqual([supersedes(first, second), supersedes(second, first)], [true, false]);
  assert.equal(supersedes(first, after(publish(1), accept(1))), true, 'an end is further than anything');
  assert.equal(supersedes(first, { ...begun(REQUEST), created_at_ms: 2_000 }), false);
  assert.deepEqual(
    [supersedes(REQUEST, REQUEST), supersedes(first, REQUEST), supersedes(REQUEST, first)],
    [false, false, false],
  );
});

/** Without what may be told later. */
function endOf(state: JobState) {
  const { tags: _, updated_at_ms: __, attempt: ___, attempts: ____, cost_micro_usd: _____, ...end } = state;
  return end;
}

test('an attempt is sent again only while it is out', () => {
  const resend = (state: JobState) => sentAgain(state, { attempt: 1, storedSeq: 9 }, 8_000);
  const again = resend(after(publish(1)));
  assert.deepEqual([again?.attempts[0]?.stored_seq, again?.attempts[0]?.status, again?.attempt], [9, 'published', 1]);
  const taken = resend(after(publish(1), accept(1)))?.attempts[0];
  assert.deepEqual([taken?.stored_seq, taken?.status, taken?.worker_id], [9, 'running', 'w-1']);
  assert.equal(resend(after(publish(1), fail(1))), undefined);
  assert.equal(resend(after(publish(1), fail(1), publish(2))), undefined, 'that is another attempt');
});

test('what was sent and not written down before the end is told afterwards, and changes nothing else', () => {
  const late = (state: JobState) =>
    addedLate(state, { of: attemptOf(1), end: { attempt: 1, status: 'succeeded', costMicroUsd: 7 } }, 9_000);
  const over = after((state) => given(state, 'timed_out', LOST, 5_000));
  const told = late(over);
  assert.deepEqual([told?.status, told?.transitions, told?.cost_micro_usd], ['timed_out', over.transitions, 7]);
  assert.deepEqual(
    told?.attempts.map(({ attempt, status }) => [attempt, status]),
    [[1, 'succeeded']],
  );
  assert.equal(told && late(told), undefined, 'told once');
  assert.equal(late(after()), undefined, 'a job that goes on is told by its steps');
});

test('words in any order, repeated and interleaved, lead to one terminal state', () => {
  fc.assert(
    fc.property(fc.array(word, { maxLength: 60 }), (words) => {
      let state = begun(REQUEST);
      let first: JobState | undefined;
      for (const [index, one] of [...words, { kind: 'expire', attempt: 0 } as Word].entries()) {
        const before = state;
        state = hear(state, one, 2_000 + index) ?? state;
        assert.ok(jobState.check(state), jobState.fault(state));
        assert.ok(state.attempt >= before.attempt, 'attempts only grow');
        assert.deepEqual([supersedes(state, before), supersedes(before, state)], [state !== before, false]);
        if (isTerminal(state.status)) first ??= state;
      }
      assert.ok(first !== undefined && isTerminal(state.status));
      assert.deepEqual(endOf(state), endOf(first), 'a terminal state never changes but for its annotations');
      assert.deepEqual(state.attempts.slice(0, first.attempt), first.attempts, 'and for attempts that are added');
      assert.equal(state.transitions.filter(({ status }) => isTerminal(status as JobState['status'])).length, 1);
      for (const [index, { seq }] of state.transitions.entries()) assert.equal(seq, index + 1);
      for (const [index, { attempt }] of state.attempts.entries()) assert.equal(attempt, index + 1);
      assert.equal(state.attempts.length, state.attempt);
      assert.equal(attemptOut(state), undefined, 'nothing is out at the end');
      const cost = state.attempts.reduce((sum, { cost_micro_usd = 0 }) => sum + cost_micro_usd, 0);
      assert.equal(state.cost_micro_usd, cost);
    }),
    { numRuns: 500 },
  );
});
