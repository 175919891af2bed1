// A budget while what was spent is on its way to the ledger for longer than anybody holds a lease for (worker 14.3).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { type Budget, budgetBucket } from '../contracts/budget.ts';
import { at } from '../contracts/contract.ts';
import { execResult } from '../contracts/result.ts';
import { resultStream, routerResults } from '../contracts/streams.ts';
import { usageMetered } from '../contracts/usage.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { BudgetKeeper } from '../ledger/budget-keeper.ts';
import { startSmallLedger } from '../ledger/running-fixture.ts';
import { BudgetDefinitions } from '../limit/budget-definitions.ts';
import { Budgets } from '../limit/budgets.ts';
import { openSqlite } from '../store/sqlite.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';

const START_MS = Date.UTC(2026, 10, 21, 10);
const SPENDER = { tenantId: 'acme', keyId: 'k-1', userId: undefined, policyId: 'default' };
const BUDGET: Budget = {
  id: 'money',
  tenant_id: 'acme',
  scope: 'tenant',
  subject: '-',
  unit: 'micro_usd',
  limit: 100,
  window: 'total',
  action: 'block',
  warn_at: 0.8,
};
const RESULT = {
  assignment_id: 'a-1',
  tenant_id: 'acme',
  status: 'success',
  usage: { model: 'small', input_tokens: 60, output_tokens: 0, cost_micro_usd: 60 },
} as const;
const options = { messageId: 'm-1', timeoutMs: 1_000, correlation: { traceId: 't', tenantId: 'acme' } };

async function open() {
  await using opening = new AsyncDisposableStack();
  const clock = new ManualClock(START_MS);
  const timers = opening.use(new Timers(clock));
  const log = openLog('silent', { write: () => undefined });
  const telemetry = { log, metrics: new Metrics() };
  const bus = opening.use(openMemoryBus({ timers, telemetry }));
  await bus.ensureStream(resultStream);
  const store = opening.use(openSqlite({ path: ':memory:', timers }));
  const ledger = opening.use(await startSmallLedger({ bus, timers, telemetry, store }));
  const bucket = await bus.openBucket(budgetBucket);
  const { foldedUntilMs } = ledger;
  opening.use(new BudgetKeeper({ bucket, store, timers, log, foldedUntilMs }));
  const budgets = new Budgets({
    bucket,
    timers,
    telemetry,
    holder: 'gw-1',
    definitions: new BudgetDefinitions([BUDGET]),
  });
  const opened = opening.move();
  return {
    bus,
    ledger,
    reserve: async (micro_usd: number) =>
      budgets.reserve(SPENDER, { micro_usd, tokens: 0, requests: 0 }, clock.epochMs() + 1_000),
    pass: async (seconds: number): Promise<void> => {
      for (let step = 0; step < 4 * seconds; step++) {
        clock.advance(250);
        timers.tick();
        // eslint-disable-next-line no-await-in-loop -- what a step of the clock causes comes before the next one
        for (let n = 0; n < 10; n++) await new Promise((resolve) => setImmediate(resolve));
      }
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

test('what was spent counts until its row is there, however long its result waits for a router', async () => {
  await using world = await open();
  const { bus, reserve, pass, ledger } = world;
  (await reserve(60)).settle({ micro_usd: 60, tokens: 0, requests: 1 });
  await bus.append(at(execResult), RESULT, options);
  await pass(60);
  const refused = (fault: unknown): boolean => BeamlineError.from(fault).code === 'budget_exceeded';
  await assert.rejects(reserve(60), refused);
  // A router comes, and the next stream stands still for a minute more.
  await bus.consume(
    { stream: resultStream, consumer: routerResults, message: execResult.message },
    async (delivery) => {
      const event = {
        version: '1' as const,
        usage_id: 'acme:a-1:1',
        tenant_id: 'acme',
        provider_id: 'alder',
        event_type: 'ai.chat',
        status: 'success' as const,
        latency_ms: 1,
        cost: 0.00006,
        timestamp: START_MS,
        assignment_id: 'a-1',
        ...RESULT.usage,
      };
      await bus.append(at(usageMetered), event, { ...options, messageId: 'm-2' });
      delivery.ack();
    },
  );
  await pass(30);
  const [row] = await ledger.store.all<{ amount: number }>(
    "SELECT amount FROM spend WHERE scope = 'tenant' AND unit = 'micro_usd'",
  );
  assert.equal(row?.amount, 60);
  await assert.rejects(reserve(60), refused);
  (await reserve(40)).settle({ micro_usd: 0, tokens: 0, requests: 1 });
});
