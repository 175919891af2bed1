import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalVerdict } from '../../contracts/assignment.ts';
import { failureOf, runBlock } from './block-fixture.ts';
import { humanApproval } from './human-approval.ts';
import { testEcho } from './test-echo.ts';
import { testSleep } from './test-sleep.ts';

const question = { title: 'Send it?', approvers: ['role:operator'] };
const decided: ApprovalVerdict = {
  approval_id: 'apr_a1',
  outcome: 'decided',
  option: 'approve',
  approver: 'key:k1',
  comment: 'fine',
  decided_at_ms: 1_763_720_134_000,
};
const expired: ApprovalVerdict = { approval_id: 'apr_a1', outcome: 'expired', decided_at_ms: 1_763_720_134_000 };

test('what somebody decided is the result', async () => {
  const { output, usage } = await runBlock(humanApproval, question, { approval: decided });
  assert.deepEqual(output, {
    option: 'approve',
    approver: 'key:k1',
    comment: 'fine',
    decided_at: '2025-11-21T10:15:34.000Z',
  });
  assert.equal(usage, undefined);
});

test('nothing approves itself, and no decision of another question counts', async () => {
  const outcome = (approval: ApprovalVerdict | undefined): Promise<string> =>
    failureOf(runBlock(humanApproval, question, { approval }));
  const { approver: _, ...nobody } = decided;
  assert.equal(await outcome(undefined), 'SANDBOX_VIOLATION no_verdict');
  assert.equal(await outcome({ ...decided, approval_id: 'apr_a2' }), 'SANDBOX_VIOLATION bad_verdict');
  assert.equal(await outcome({ ...decided, option: 'maybe' }), 'SANDBOX_VIOLATION bad_verdict');
  assert.equal(await outcome(nobody), 'SANDBOX_VIOLATION bad_verdict');
});

test('the end of the time decides as the question says, and else fails', async () => {
  assert.equal(
    await failureOf(runBlock(humanApproval, question, { approval: expired })),
    'EXECUTION_FAILED approval_expired',
  );
  for (const on_timeout of ['approve', 'reject'] as const) {
    const { output } = await runBlock(humanApproval, { ...question, on_timeout }, { approval: expired });
    assert.deepEqual(output, { option: on_timeout, decided_at: '2025-11-21T10:15:34.000Z' });
  }
});

test('the echo gives back what it got, and the sleeper can be woken', async () => {
  assert.deepEqual((await runBlock(testEcho, { a: [1] })).output, { a: [1] });
  assert.deepEqual((await runBlock(testSleep, { sleep_ms: 0, output: 1 })).output, { slept_ms: 0, output: 1 });
  const stop = new AbortController();
  const reason = new Error('enough');
  const run = runBlock(testSleep, { sleep_ms: 600_000 }, { signal: stop.signal });
  stop.abort(reason);
  await assert.rejects(run, reason);
  assert.equal(testSleep.effect({ sleep_ms: 0, effect: 'external' }), 'external');
});
