import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT_MS, openLedgerStore, rowsOf, usageEvent } from './ledger-fixture.ts';
import { type KnownAttempt, reconcile } from './reconcile.ts';
import { foldUsage } from './usage-fold.ts';

const period = { since: AT_MS - 1, until: AT_MS + 1 };
const known = (assignmentId: string, more: Partial<KnownAttempt> = {}): KnownAttempt => ({
  assignmentId,
  attempt: 1,
  isMetered: true,
  costMicroUsd: 4,
  inputTokens: 2,
  outputTokens: 1,
  ...more,
});

/** The findings that are not 0, of a ledger with the attempts `a`, `b` and `c`. */
async function findings(
  attempts: readonly KnownAttempt[],
  more: Parameters<typeof usageEvent>[0][] = [],
  unsettled: string[] = [],
) {
  await using opened = await openLedgerStore();
  const ids = ['a', 'b', 'c'];
  await foldUsage(opened.store, rowsOf(ids.map((id) => usageEvent({ assignment_id: id }))), AT_MS);
  await foldUsage(opened.store, rowsOf(more.map((event) => usageEvent(event))), AT_MS);
  const witness = { attempts, isComplete: () => true };
  const {
    rows: _,
    attempts: __,
    examples: ___,
    estimated_share,
    ...counts
  } = await reconcile(opened.store, period, [witness], unsettled);
  return { ...Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)), share: estimated_share };
}

const all = ['a', 'b', 'c'].map((id) => known(id));

test('a ledger that agrees has no findings', async () => {
  assert.deepEqual(await findings(all), { share: 0 });
});

test('a metered attempt without a row is lost; one that consumed nothing is not', async () => {
  const more = [known('d'), known('a', { attempt: 2 }), known('e', { isMetered: false })];
  assert.deepEqual(await findings([...all, ...more]), { lost: 2, share: 0 });
});

test('a row whose attempt nobody knows is a phantom', async () => {
  assert.deepEqual(await findings(all.slice(1)), { phantom: 1, share: 0 });
});

test('an event that says something else under a known key is doubled', async () => {
  assert.deepEqual(await findings(all, [{ assignment_id: 'a', input_tokens: 9 }]), { doubled: 1, share: 0 });
});

test('two rows for one attempt are doubled', async () => {
  assert.deepEqual(await findings(all, [{ assignment_id: 'a', usage_id: 'another' }]), {
    doubled: 1,
    cost_mismatch: 1,
    share: 0,
  });
});

test('a lease past its hold is unsettled', async () => {
  assert.deepEqual(await findings(all, [], ['budget holder']), { unsettled: 1, share: 0 });
});

test('what differs in cost or tokens, has no price or is an estimate is listed', async () => {
  const attempts = [known('a', { inputTokens: 3 }), ...all.slice(1), known('d'), known('e')];
  const more = [
    { assignment_id: 'd', estimated: true },
    { assignment_id: 'e', model: 'unknown', cost_micro_usd: 0, unpriced: true },
  ];
  assert.deepEqual(await findings(attempts, more), { cost_mismatch: 2, unpriced: 1, estimated: 1, share: 0.2 });
});

test('an estimate that was corrected is none', async () => {
  const more = [{ assignment_id: 'd', estimated: true, input_tokens: 90 }, { assignment_id: 'd' }];
  assert.deepEqual(await findings([...all, known('d', { costMicroUsd: 4 })], more), { share: 0 });
});

test('an estimate is held against what a provider produced: not less input, and not more output', async () => {
  const more = ['d', 'e', 'f'].map((id) => ({
    assignment_id: id,
    estimated: true,
    input_tokens: 30,
    output_tokens: 5,
    cost_micro_usd: 40,
  }));
  const seen = [
    known('d', { inputTokens: 20, outputTokens: 5 }),
    known('e', { inputTokens: 31, outputTokens: 5 }),
    known('f', { inputTokens: 20, outputTokens: 4 }),
  ];
  assert.deepEqual(await findings([...all, ...seen], more), { estimated: 3, cost_mismatch: 2, share: 0.5 });
});

test('a job whose estimate was adjusted later knows the cost of the estimate', async () => {
  const more = [{ assignment_id: 'd', estimated: true, input_tokens: 90 }, { assignment_id: 'd' }];
  const { inputTokens: _, outputTokens: __, ...told } = known('d', { costMicroUsd: 92 });
  assert.deepEqual(await findings([...all, told], more), { share: 0 });
});
