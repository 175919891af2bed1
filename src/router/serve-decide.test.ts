import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { at } from '../contracts/contract.ts';
import { type DecideResponse, decideV2 } from '../contracts/decide.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { CORRELATION, REQUEST, settled } from './router-fixture.ts';
import { serveDecide } from './serve-decide.ts';

const ANSWER: DecideResponse = { version: '2', ok: true, context: {} };

test('what is decided is counted while it runs, and its time is told once', async () => {
  const clock = new ManualClock(1_790_000_000_000);
  using timers = new Timers(clock);
  await using bus = openMemoryBus({
    timers,
    telemetry: { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() },
  });
  const waiting: (() => void)[] = [];
  await using decides = serveDecide(
    bus,
    {
      v1: () => assert.fail(),
      v2: ({ task }) =>
        task.type === 'ai.chat' ? ANSWER : new Promise((resolve) => void waiting.push(() => resolve(ANSWER))),
    },
    clock,
  );
  let asked = 0;
  const ask = (type: string) =>
    bus.request(
      at(decideV2),
      { ...REQUEST, request_id: `rq-${++asked}`, task: { type, payload: { messages: [] } } },
      { timeoutMs: 60_000, correlation: CORRELATION },
    );
  for (let n = 0; n < 18; n++) void ask('ai.chat');
  const slow = [ask('ai.embed'), ask('ai.embed')];
  await settled();
  assert.equal(decides.pending, 2);
  clock.advance(6_000);
  for (const answer of waiting) answer();
  await Promise.all(slow);
  assert.deepEqual([decides.pending, decides.takeP95Ms(), decides.takeP95Ms()], [0, 6_000, 0]);
});
