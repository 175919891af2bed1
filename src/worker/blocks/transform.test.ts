import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { failureOf, runBlock } from './block-fixture.ts';
import { openTransform, type TransformBlock } from './transform.ts';

function open(context: TestContext, threadsMax = 2): TransformBlock {
  const timers = new Timers(systemClock, { tickMs: 5 });
  const block = openTransform({ timers, threadsMax });
  context.after(async () => {
    await block[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  });
  return block;
}

/** A million steps and more than one thread's time. */
const ENDLESS = 'data.map(a, data.map(b, a * b + a - b)).size() > 0';
const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i);

test('an expression makes a value of its data, and its time is counted', async (context) => {
  const block = open(context);
  const { output, usage } = await runBlock(block, {
    expression: 'data.items.map(i, i.id)',
    data: { items: [{ id: 7 }] },
  });
  assert.deepEqual(output, { value: [7] });
  assert.ok((usage?.cpu_ms ?? -1) >= 0);
});

test('an expression that takes too long dies with its thread, and the next one has another', async (context) => {
  const block = open(context, 1);
  const run = runBlock(block, { expression: ENDLESS, data: numbers(20_000) });
  assert.equal(await failureOf(run), 'EXECUTION_FAILED cpu_time');
  assert.deepEqual((await runBlock(block, { expression: 'data + 1', data: 1 })).output, { value: 2 });
});

test('an expression that takes too much memory dies alone', async (context) => {
  const block = open(context, 1);
  const data = { text: 'x'.repeat(500_000), list: numbers(3_000) };
  const run = runBlock(block, { expression: 'data.list.map(i, data.text + string(i))', data });
  assert.match(await failureOf(run), /^(EXECUTION_FAILED (memory|cpu_time)|OUTPUT_TOO_LARGE)$/);
  assert.deepEqual((await runBlock(block, { expression: 'data', data: 'fine' })).output, { value: 'fine' });
});

test('an abort ends what runs and what waits, with its reason', async (context) => {
  const block = open(context, 1);
  const stop = new AbortController();
  const tries = [1, 2].map(() =>
    runBlock(block, { expression: ENDLESS, data: numbers(20_000) }, { signal: stop.signal }),
  );
  const reason = new Error('enough');
  stop.abort(reason);
  for (const run of tries) await assert.rejects(run, reason);
  assert.deepEqual((await runBlock(block, { expression: 'data', data: 1 })).output, { value: 1 });
});

test('what is too large, unreadable or not in the data is a failure with its code', async (context) => {
  const block = open(context);
  const fails = (expression: string, data: unknown): Promise<string> =>
    failureOf(runBlock(block, { expression, data }));
  assert.equal(await fails('data', 'x'.repeat(1_048_576)), 'INVALID_INPUT');
  assert.equal(await fails('data + data', 'x'.repeat(600_000)), 'OUTPUT_TOO_LARGE');
  assert.equal(await fails('data.', 1), 'INVALID_INPUT expression');
  assert.equal(await fails('data.a', {}), 'EXECUTION_FAILED no_such_key');
  assert.equal(await fails('process', {}), 'INVALID_INPUT expression');
});
