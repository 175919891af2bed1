// An attempt that was taken for lost and billed as an estimate, whose own result comes a moment later: on a real server,
// through worker, router and ledger, the rows end at what was measured.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DeadLetters } from '../../src/bus/dead-letters.ts';
import { openNatsBus } from '../../src/bus/nats.ts';
import type { Usage } from '../../src/contracts/fields.ts';
import type { ExecResult } from '../../src/contracts/result.ts';
import { systemClock } from '../../src/core/clock.ts';
import { Timers } from '../../src/core/timers.ts';
import { startSmallLedger } from '../../src/ledger/running-fixture.ts';
import { startUsageEmitter } from '../../src/router/usage-emitter.ts';
import { openUsageSink } from '../../src/router/usage-sink.ts';
import { openSqlite } from '../../src/store/sqlite.ts';
import { openLog } from '../../src/telemetry/log.ts';
import { Metrics } from '../../src/telemetry/metrics.ts';
import { Reporter } from '../../src/worker/reporter.ts';
import { type NatsServer, startNatsServer } from '../nats-server.ts';
import { until } from '../until.ts';

let nats: NatsServer;
before(async () => {
  nats = await startNatsServer();
});
after(() => nats.stop());

const correlation = { traceId: 't-1', tenantId: 'acme' };

async function openWorld() {
  await using opening = new AsyncDisposableStack();
  const timers = opening.use(new Timers(systemClock, { tickMs: 5 }));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = opening.use(await openNatsBus({ url: nats.url, name: 'test', timers, telemetry }));
  const deadLetters = new DeadLetters({
    bus,
    clock: systemClock,
    telemetry,
    producer: 'router@1',
    metric: { name: 'router_dead_letters_total', label: 'class' },
  });
  const sink = await openUsageSink({ bus, telemetry });
  const jobs = { ended: async () => undefined, assignmentOf: async () => undefined };
  opening.use(await startUsageEmitter({ bus, timers, telemetry, sink, jobs, deadLetters }));
  const store = opening.use(openSqlite({ path: ':memory:', timers }));
  opening.use(await startSmallLedger({ bus, timers, telemetry, store }));
  const opened = opening.move();
  return {
    reporter: new Reporter({ bus, timers, telemetry, outbox: undefined }),
    rows: (id: string) =>
      store.all<{ usage_id: string; cost_micro_usd: number; estimated: number }>(
        'SELECT usage_id, cost_micro_usd, estimated FROM usage_events WHERE assignment_id = ? ORDER BY usage_id',
        [id],
      ),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

const usage = (cost: number, more: Partial<Usage> = {}): Usage => ({
  model: 'small',
  input_tokens: cost,
  output_tokens: 0,
  cost_micro_usd: cost,
  ...more,
});
const resultOf = (id: string, more: Partial<ExecResult>): ExecResult => ({
  version: '1',
  assignment_id: id,
  request_id: 'r-1',
  tenant_id: 'acme',
  status: 'error',
  provider_id: 'alder',
  attempt: 1,
  timestamp: Date.UTC(2026, 10, 1),
  ...more,
});
const LOST = { error_code: 'WORKER_LOST', error_message: 'lost' };

test('what is measured adjusts the estimate that came before it', async () => {
  await using world = await openWorld();
  const { reporter } = world;
  await reporter.append(resultOf('a-1', { ...LOST, usage: usage(5, { estimated: true }) }), correlation);
  await until('the estimate', async () => (await world.rows('a-1')).length === 1);
  await reporter.append(resultOf('a-1', { status: 'success', usage: usage(12) }), correlation);
  await until('its adjustment', async () => (await world.rows('a-1')).length === 2);
  assert.deepEqual(
    (await world.rows('a-1')).map(({ usage_id, cost_micro_usd, estimated }) => [usage_id, cost_micro_usd, estimated]),
    [
      ['acme:a-1:1', 5, 1],
      ['acme:a-1:1:adj:1', 7, 0],
    ],
  );
});

test('what is measured is billed after a failure of which nobody knew what it took, and no estimate changes it', async () => {
  await using world = await openWorld();
  const { reporter } = world;
  await reporter.append(resultOf('a-2', LOST), correlation);
  await reporter.append(resultOf('a-2', { status: 'success', usage: usage(12) }), correlation);
  await until('the row', async () => (await world.rows('a-2')).length === 1);
  await reporter.append(resultOf('a-2', { ...LOST, usage: usage(5, { estimated: true }) }), correlation);
  await reporter.append(resultOf('a-3', { status: 'success', usage: usage(1) }), correlation);
  await until('what was sent later', async () => (await world.rows('a-3')).length === 1);
  assert.deepEqual(
    (await world.rows('a-2')).map(({ usage_id, cost_micro_usd, estimated }) => [usage_id, cost_micro_usd, estimated]),
    [['acme:a-2:1', 12, 0]],
  );
});
