import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DecideRequest, DecideResponse } from '../contracts/decide.ts';
import { ManualClock } from '../core/clock.ts';
import { RememberedDecides } from './remembered-decides.ts';
import { openRouter, settled } from './router-fixture.ts';

const ASKED: DecideRequest = {
  version: '2',
  request_id: 'rq-1',
  tenant_id: 'acme',
  task: { type: 'ai.chat', payload: { n: 1 } },
};
const HOUR_MS = 3_600_000;

function open(bounds: { countMax?: number; charsMax?: number } = {}) {
  const clock = new ManualClock();
  const remembered = new RememberedDecides(clock, bounds);
  let decided = 0;
  const decide = ({ request_id, tenant_id }: DecideRequest): DecideResponse => ({
    version: '2',
    ok: true,
    decision: {
      provider_id: `p-${++decided}`,
      reason: 'weighted',
      priority: 50,
      policy_id: 'p',
      policy_revision: 1,
      fallback_used: false,
    },
    context: { request_id, tenant_id },
  });
  const ask = async (more: Partial<DecideRequest> = {}) => remembered.v2({ ...ASKED, ...more }, decide);
  return { clock, remembered, ask, decided: () => decided };
}

const toldOf = ({ decision, duplicate }: DecideResponse) => [decision?.provider_id, duplicate];

test('the same request gets the same answer, marked as a repeat, with its own ids', async () => {
  const { ask } = open();
  assert.deepEqual(toldOf(await ask({ idempotency_key: 'k' })), ['p-1', undefined]);
  const again = await ask({ idempotency_key: 'k', request_id: 'rq-2', trace_id: 't' });
  assert.deepEqual(
    [toldOf(again), again.context],
    [['p-1', true], { request_id: 'rq-2', tenant_id: 'acme', trace_id: 't' }],
  );
  assert.deepEqual(toldOf(await ask({ idempotency_key: 'k', tenant_id: 'zeta' })), ['p-2', undefined]);
  assert.deepEqual(toldOf(await ask()), ['p-3', undefined]);
  assert.deepEqual(toldOf(await ask()), ['p-3', true]);
});

test('another body under the key is refused and decides nothing', async () => {
  const { ask, decided } = open();
  await ask();
  for (const more of [{ task: { type: 'ai.chat', payload: { n: 2 } } }, { policy_id: 'other' }, { context: { a: 1 } }])
    await assert.rejects(ask(more), { code: 'idempotency_conflict', details: { intake: 'IDEMPOTENCY_VIOLATION' } });
  const push = { push_assignment: true, deliver_to: 'beamline.exec.v2.frames.g.s', idempotency_key: 'rq-1' };
  await assert.rejects(ask(push), { code: 'idempotency_conflict' });
  assert.equal(decided(), 1);
});

test('a repeat while the first is decided waits for its answer; a failure may be asked again', async () => {
  const { remembered } = open();
  const answers: ((answer: DecideResponse | Error) => void)[] = [];
  const decide = (): Promise<DecideResponse> =>
    new Promise((resolve, reject) =>
      answers.push((answer) => (answer instanceof Error ? reject(answer) : resolve(answer))),
    );
  const asking = [1, 2].map(async () => remembered.v2(ASKED, decide));
  assert.equal(answers.length, 1);
  answers[0]?.({ version: '2', ok: true, context: {} });
  assert.deepEqual(
    (await Promise.all(asking)).map(({ duplicate }) => duplicate),
    [undefined, true],
  );
  const other = { ...ASKED, request_id: 'rq-2' };
  const failing = [1, 2].map(async () => remembered.v2(other, decide));
  answers[1]?.(new Error('no'));
  assert.deepEqual(
    (await Promise.allSettled(failing)).map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  const again = remembered.v2(other, decide);
  answers[2]?.({ version: '2', ok: true, context: {} });
  assert.equal((await again).duplicate, undefined);
});

test('a re-ask is decided anew, and its answer is the one that stays', async () => {
  const { ask } = open();
  await ask();
  assert.deepEqual(toldOf(await ask({ reask: 1 })), ['p-2', undefined]);
  assert.deepEqual(toldOf(await ask()), ['p-2', true]);
});

test('dry runs, durable pushes and interactive pushes without a key are not remembered', async () => {
  const { ask, decided } = open();
  const deliver_to = 'beamline.exec.v2.frames.g.s';
  for (const more of [
    { options: { dry_run: true } },
    { push_assignment: true },
    { push_assignment: true, deliver_to },
  ]) {
    // eslint-disable-next-line no-await-in-loop -- one after the other is the point
    assert.deepEqual([(await ask(more)).duplicate, (await ask(more)).duplicate], [undefined, undefined]);
  }
  assert.equal(decided(), 6);
});

test('it forgets after an hour, and the oldest first where there are too many or too large ones', async () => {
  const { ask, clock } = open();
  await ask();
  clock.advance(HOUR_MS - 1);
  assert.equal((await ask()).duplicate, true);
  clock.advance(1);
  assert.equal((await ask()).duplicate, undefined);
  for (const bounds of [{ countMax: 3 }, { charsMax: 2_000 }]) {
    const few = open(bounds);
    for (let n = 0; n < 100; n++) await few.ask({ request_id: `rq-${n}` });
    assert.equal((await few.ask({ request_id: 'rq-99' })).duplicate, true);
    assert.equal((await few.ask({ request_id: 'rq-90' })).duplicate, undefined);
  }
});

test('what was refused later, or replaced by a re-ask, does not pile up behind an answer that stays', async () => {
  const { remembered, ask } = open({ countMax: 10 });
  await ask();
  for (let n = 0; n < 100; n++) {
    const refused = remembered.v2({ ...ASKED, request_id: `rq-no-${n}` }, () => Promise.reject(new Error('no')));
    // eslint-disable-next-line no-await-in-loop -- one after the other
    await assert.rejects(Promise.resolve(refused));
    // eslint-disable-next-line no-await-in-loop -- one after the other
    await ask({ request_id: 'rq-again', reask: 1 });
    assert.ok(remembered.places <= 30, `${remembered.places} places`);
  }
  assert.equal((await ask()).duplicate, true);
  assert.equal((await ask({ request_id: 'rq-again' })).duplicate, true);
});

test('a text that is no Unicode is refused and not decided', async () => {
  const { ask, decided } = open();
  await assert.rejects(ask({ context: { a: '\ud800' } }), { code: 'invalid_request' });
  assert.equal(decided(), 0);
});

test('an interactive request that runs is not run twice unless it is a re-ask; when it is over it may come again', async () => {
  const { decide, outcome, heard, stop } = await openRouter();
  await decide({ request_id: 'rq-7' });
  const { error } = await decide({ request_id: 'rq-7' });
  assert.deepEqual([error?.code, error?.intake_error_code], ['idempotency_conflict', 'IDEMPOTENCY_VIOLATION']);
  assert.equal((await decide({ request_id: 'rq-7', tenant_id: 'umbra', policy_id: 'default' })).ok, true);
  assert.equal((await decide({ request_id: 'rq-7', reask: 1 })).ok, true);
  assert.equal(heard.pushed.length, 3);
  await outcome({ state: 'succeeded' });
  await settled();
  assert.equal((await decide({ request_id: 'rq-7' })).ok, true);
  await stop();
});

test('a repeat with a key gets the assignment that runs already, and no second one', async () => {
  const { decide, heard, stop } = await openRouter();
  const first = await decide({ idempotency_key: 'k', request_id: 'rq-7' });
  const again = await decide({ idempotency_key: 'k', request_id: 'rq-8', deliver_to: 'beamline.exec.v2.frames.gw.s2' });
  assert.deepEqual([again.duplicate, again.assignment], [true, first.assignment]);
  assert.equal(heard.pushed.length, 1);
  await stop();
});
