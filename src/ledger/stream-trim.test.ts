import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { at } from '../contracts/contract.ts';
import { ledgerUsage, usageStream } from '../contracts/streams.ts';
import { usageMetered } from '../contracts/usage.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { usageEvent } from './ledger-fixture.ts';
import { StreamTrim } from './stream-trim.ts';
import type { UsageDelivery } from './usage-intake.ts';

const MINUTE_MS = 60_000;

/** A trim beside a consumer that holds what comes until the test says what becomes of it. */
async function open(isAlone: boolean) {
  const clock = new ManualClock();
  const timers = new Timers(clock);
  const log = openLog('silent', { write: () => undefined });
  const bus = openMemoryBus({ timers, telemetry: { log, metrics: new Metrics() } });
  await bus.ensureStream(usageStream);
  const deliveries: UsageDelivery[] = [];
  const from = { stream: usageStream, consumer: ledgerUsage, message: usageMetered.message };
  await bus.consume(from, (delivery) => void deliveries.push(delivery));
  const trim = new StreamTrim({ bus, timers, log, isAlone });
  return {
    clock,
    trim,
    async append(count: number): Promise<readonly UsageDelivery[]> {
      const before = deliveries.length;
      for (let n = 0; n < count; n++) {
        const event = usageEvent({ assignment_id: `a-${before + n}` });
        const correlation = { traceId: '-', tenantId: event.tenant_id };
        // eslint-disable-next-line no-await-in-loop -- in their order
        await bus.append(at(usageMetered), event, { messageId: `m${before + n}`, timeoutMs: 1_000, correlation });
      }
      while (deliveries.length < before + count) {
        // eslint-disable-next-line no-await-in-loop -- waits for a condition
        await new Promise((resolve) => void setImmediate(resolve));
      }
      return deliveries.slice(before);
    },
    fold(these: readonly UsageDelivery[]): void {
      for (const delivery of these) {
        delivery.ack();
        trim.folded(delivery.seq);
      }
    },
    held: async () => (await bus.read(usageStream, { fromSeq: 1, limit: 1_000 })).map(({ seq }) => seq),
    async [Symbol.asyncDispose]() {
      trim[Symbol.dispose]();
      await bus.drain();
      timers[Symbol.dispose]();
    },
  };
}

test('the only ledger lets go of what it folded, and of nothing that it holds', async () => {
  await using it = await open(true);
  const [first, second, third] = await it.append(3);
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  it.fold([first, third]);
  await it.trim.trim();
  assert.deepEqual(await it.held(), [2, 3]);
  it.fold([second]);
  await it.trim.trim();
  assert.deepEqual(await it.held(), []);
});

test('beside others an event stays for an hour, and longer while one that was given back is not settled', async () => {
  await using it = await open(false);
  const [first, second] = await it.append(2);
  assert.ok(first !== undefined && second !== undefined);
  it.trim.refused(first.seq);
  it.fold([second]);
  await it.trim.trim();
  it.clock.advance(61 * MINUTE_MS);
  await it.trim.trim();
  assert.deepEqual(await it.held(), [1, 2], 'the first one comes again');
  it.fold([first]);
  await it.trim.trim();
  it.clock.advance(61 * MINUTE_MS);
  await it.trim.trim();
  const [third] = await it.append(1);
  assert.ok((await it.held()).includes(third?.seq ?? 0));
  assert.ok(!(await it.held()).includes(1), 'and goes once it is settled');
});
