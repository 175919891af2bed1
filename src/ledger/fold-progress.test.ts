import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Delivery } from '../bus/bus.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { at } from '../contracts/contract.ts';
import { type ExecResult, execResult } from '../contracts/result.ts';
import { ledgerUsage, resultStream, routerResults, usageStream } from '../contracts/streams.ts';
import { type UsageEvent, usageMetered } from '../contracts/usage.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { FoldProgress } from './fold-progress.ts';
import { AT_MS, usageEvent } from './ledger-fixture.ts';

const correlation = { traceId: 't', tenantId: 'acme' };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Both streams, whose readers hold what they get until the test acknowledges it. */
async function open() {
  const clock = new ManualClock(AT_MS);
  const timers = new Timers(clock);
  const log = openLog('silent', { write: () => undefined });
  const bus = openMemoryBus({ timers, telemetry: { log, metrics: new Metrics() } });
  await bus.ensureStream(usageStream);
  const progress = new FoldProgress({ bus, timers, log });
  const held = { results: [] as Delivery<ExecResult>[], usage: [] as Delivery<UsageEvent>[] };
  const result = { assignment_id: 'a-1', tenant_id: 'acme', status: 'success' } as const;
  let stored = 0;
  const options = () => ({ messageId: `m-${stored++}`, timeoutMs: 1_000, correlation });
  return {
    progress,
    held,
    bus,
    /** After so many seconds, as seconds from the start; undefined while nobody can say. */
    async untilAfter(seconds: number): Promise<number | undefined> {
      clock.advance(seconds * 1_000);
      await turn();
      await progress.look();
      return progress.untilMs === undefined ? undefined : (progress.untilMs - AT_MS) / 1_000;
    },
    async report(): Promise<void> {
      await bus.ensureStream(resultStream);
      await bus.append(at(execResult), result, options());
    },
    meter: () => bus.append(at(usageMetered), usageEvent(), options()),
    async read(): Promise<void> {
      const results = { stream: resultStream, consumer: routerResults, message: execResult.message };
      await bus.consume(results, (delivery) => void held.results.push(delivery));
      const usage = { stream: usageStream, consumer: ledgerUsage, message: usageMetered.message };
      await bus.consume(usage, (delivery) => void held.usage.push(delivery));
      await turn();
    },
    [Symbol.asyncDispose]: async () => {
      await bus[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
    },
  };
}

test('with nothing on its way, everything until now is folded', async () => {
  await using opened = await open();
  assert.equal(await opened.untilAfter(1), 1);
  assert.equal(await opened.untilAfter(9), 10);
  assert.equal(opened.progress.lagMs, 0);
});

test('a result that no router has taken holds the moment before it, until its row is there', async () => {
  await using opened = await open();
  const { held } = opened;
  assert.equal(await opened.untilAfter(10), 10);
  await opened.report();
  await opened.read();
  assert.equal(await opened.untilAfter(10), 10);
  assert.equal(await opened.untilAfter(60), 10);
  await opened.meter();
  held.results[0]?.ack();
  assert.equal(await opened.untilAfter(10), 10, 'its event is with a ledger, whichever');
  assert.equal(opened.progress.lagMs, 10_000);
  await opened.meter();
  held.usage[0]?.ack();
  assert.equal(await opened.untilAfter(10), 20, 'what came later is not waited for');
  assert.equal(await opened.untilAfter(10), 20);
  held.usage[1]?.ack();
  assert.equal(await opened.untilAfter(10), 120);
  assert.equal(opened.progress.lagMs, 0);
});

test('a ledger that starts with a backlog knows nothing until it has folded it, and tells its age', async () => {
  await using opened = await open();
  await opened.meter();
  assert.equal(await opened.untilAfter(300), undefined);
  assert.equal(opened.progress.lagMs, 300_000);
  await opened.read();
  opened.held.usage[0]?.nak(1_000_000);
  assert.equal(await opened.untilAfter(10), undefined, 'given back for later');
  assert.equal(opened.progress.lagMs, 310_000);
});
