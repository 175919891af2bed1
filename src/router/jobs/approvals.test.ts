import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approvalBucket } from '../../contracts/approval.ts';
import { failure, openJobs, orderOf } from './jobs-fixture.ts';

const question = (more: object = {}) => ({
  task: {
    type: 'human.approval',
    payload: { title: 'Pay?', approvers: ['key:key_2', 'user:bob', 'role:operator'], expires_s: 60, ...more },
  },
});

async function asked(more: object = {}) {
  const opened = await openJobs();
  await opened.start();
  assert.equal((await opened.ask(orderOf(question(more)))).ok, true);
  const approve = (option: string, principal: object, comment?: string) =>
    opened.control('approve', { option, principal, ...(comment === undefined ? {} : { comment }) });
  return { ...opened, approve };
}

test('a job waits for a decision without an attempt, and its worker gets the verdict', async () => {
  const { state, orders, approve, open, pass, stop } = await asked();
  assert.deepEqual([orders.length, (await state())?.status, (await state())?.waiting_for], [0, 'queued', 'approval']);
  await pass(30_000);
  const decided = await approve('approve', { key_id: 'key_2' }, 'fine');
  assert.deepEqual([decided.ok, decided.changed], [true, true]);
  const [order] = orders;
  assert.deepEqual(order?.approval, {
    approval_id: `apr_${order?.assignment_id}`,
    outcome: 'decided',
    option: 'approve',
    approver: 'key:key_2',
    comment: 'fine',
    decided_at_ms: 1_790_000_030_000,
  });
  assert.deepEqual([(await state())?.status, (await state())?.waiting_for, await open()], ['succeeded', undefined, 0]);
  await stop();
});

test('a rejection is a decision as well', async () => {
  const { orders, approve, stop } = await asked();
  await approve('reject', { user_id: 'bob', key_id: 'key_9' });
  assert.deepEqual([orders[0]?.approval?.option, orders[0]?.approval?.approver], ['reject', 'user:bob']);
  await stop();
});

const REFUSED: readonly (readonly [string, string, object, string])[] = [
  ['a stranger', 'approve', { key_id: 'key_7' }, 'forbidden'],
  ['nobody', 'approve', {}, 'forbidden'],
  ['the requester by key', 'approve', { key_id: 'key_1', role: 'operator' }, 'forbidden'],
  ['the requester with another key', 'approve', { key_id: 'key_2', user_id: 'ann' }, 'forbidden'],
  ['an approver with an option that is none', 'maybe', { key_id: 'key_2' }, 'invalid_request'],
];

for (const [who, option, principal, code] of REFUSED) {
  test(`${who} decides nothing`, async () => {
    const { orders, approve, stop } = await asked();
    assert.equal((await approve(option, principal)).error?.code, code);
    assert.equal(orders.length, 0);
    await stop();
  });
}

test('a decision stands: repeated it is a conflict, and so is another one', async () => {
  const { orders, approve, stop } = await asked();
  await approve('approve', { key_id: 'key_2' });
  const again = await approve('approve', { key_id: 'key_2' });
  assert.deepEqual([again.error?.code, again.error?.details?.['reason']], ['conflict', 'repeated']);
  const late = await approve('approve', { user_id: 'bob' });
  assert.deepEqual([late.error?.code, late.error?.details?.['reason']], ['conflict', 'decided']);
  for (const principal of [{ key_id: 'key_2' }, { user_id: 'bob' }]) {
    const { error } = await approve('reject', principal);
    assert.deepEqual([error?.code, error?.details?.['reason']], ['conflict', 'decided']);
  }
  assert.equal(orders.length, 1);
  await stop();
});

test('a quorum is of people: two keys of one are one, two operators are two', async () => {
  const { orders, approve, stop } = await asked({ quorum: 2 });
  await approve('approve', { user_id: 'bob', key_id: 'key_3' });
  const same = await approve('approve', { user_id: 'bob', key_id: 'key_4' });
  assert.deepEqual([same.error?.details?.['reason'], orders.length], ['repeated', 0]);
  await approve('reject', { key_id: 'key_5', role: 'operator' });
  assert.equal(orders.length, 0);
  await approve('approve', { key_id: 'key_6', role: 'operator' });
  assert.deepEqual([orders[0]?.approval?.option, orders[0]?.approval?.approver], ['approve', 'key:key_6']);
  await stop();
});

for (const [onTimeout, option] of [
  ['reject', 'reject'],
  ['approve', 'approve'],
  ['fail', undefined],
] as const) {
  test(`when the time is over the question ends as ${onTimeout}, and nobody decides any more`, async () => {
    const { orders, script, approve, state, pass, stop } = await asked({ on_timeout: onTimeout });
    if (onTimeout === 'fail') script.push(failure('EXECUTION_FAILED'));
    await pass(61_000);
    assert.deepEqual([orders[0]?.approval?.outcome, orders[0]?.approval?.option], ['expired', option]);
    assert.equal((await state())?.status, onTimeout === 'fail' ? 'failed' : 'succeeded');
    const { error } = await approve('approve', { key_id: 'key_2' });
    assert.deepEqual([error?.code, error?.details?.['reason']], ['gone', 'expired']);
    await stop();
  });
}

test('a question ends with its job', async () => {
  const { control, approve, bus, stop } = await asked();
  await control('cancel');
  const { error } = await approve('approve', { key_id: 'key_2' });
  assert.deepEqual([error?.code, error?.details?.['reason']], ['gone', 'cancelled']);
  const [entry] = await (await bus.openBucket(approvalBucket)).entries();
  assert.match(entry?.value ?? '', /"status":"cancelled"/);
  await stop();
});

test('another router goes on with a decision that was taken while none was there', async () => {
  const opened = await openJobs();
  const first = await opened.start();
  await opened.ask(orderOf(question()));
  await first[Symbol.asyncDispose]();
  await opened.pass(61_000);
  assert.equal(opened.orders.length, 0);
  await opened.start();
  await opened.pass(250);
  assert.equal(opened.orders[0]?.approval?.outcome, 'expired');
  await opened.stop();
});

const INVALID: readonly object[] = [
  { title: undefined },
  { approvers: [] },
  { approvers: ['bob'] },
  { options: ['a', 'a'] },
  { expires_s: 0 },
  { quorum: 0 },
  { on_timeout: 'maybe' },
];

for (const more of INVALID) {
  test(`a question with ${JSON.stringify(more)} is refused`, async () => {
    const { start, ask, open, stop } = await openJobs();
    await start();
    const task = question(more).task;
    const payload = JSON.parse(JSON.stringify(task.payload)) as Record<string, unknown>;
    assert.equal((await ask(orderOf({ task: { ...task, payload } }))).error?.code, 'invalid_request');
    assert.equal(await open(), 0);
    await stop();
  });
}
