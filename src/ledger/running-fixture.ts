// A ledger on a bus in memory, over any store, with what its tests ask of it.
import { openMemoryBus } from '../bus/memory.ts';
import type { Bus } from '../bus/bus.ts';
import { at } from '../contracts/contract.ts';
import { ledgerV2, type LedgerOperation, type LedgerReply } from '../contracts/ledger.ts';
import { usageStream } from '../contracts/streams.ts';
import { type UsageEvent, usageMetered } from '../contracts/usage.ts';
import { systemClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import type { SqlStore } from '../store/sql.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { type Ledger, type LedgerDeps, startLedger } from './ledger.ts';

export interface Running<S extends SqlStore> extends AsyncDisposable {
  readonly bus: Bus;
  readonly store: S;
  readonly ledger: Ledger;
  readonly metrics: Metrics;
  readonly lines: string[];
  append(event: UsageEvent): Promise<void>;
  ask(op: LedgerOperation, params: object, tenantId?: string): Promise<LedgerReply>;
  rows(): Promise<number>;
}

/** A ledger that folds in small batches, keeps the newest hundred rows, and does not reconcile. */
export const startSmallLedger = (
  deps: Pick<LedgerDeps, 'bus' | 'timers' | 'telemetry' | 'store'> & Partial<Pick<LedgerDeps, 'prices'>>,
): Promise<Ledger> =>
  startLedger({
    prices: [],
    ...deps,
    id: 'ledger-1',
    batch: 10,
    isAlone: false,
    retention: { kind: 'newest', rowsMax: 100 },
    reconcile: () => Promise.reject(new BeamlineError('not_implemented', 'not here')),
  });

export async function startRunning<S extends SqlStore>(
  openStore: (timers: Timers) => S,
  prepare?: (bus: Bus) => Promise<void>,
): Promise<Running<S>> {
  await using opening = new AsyncDisposableStack();
  const timers = opening.use(new Timers(systemClock, { tickMs: 5 }));
  const metrics = new Metrics();
  const lines: string[] = [];
  const telemetry = { log: openLog('info', { write: (line) => void lines.push(line) }), metrics };
  const bus = opening.use(openMemoryBus({ timers, telemetry }));
  await bus.ensureStream(usageStream);
  await prepare?.(bus);
  const store = opening.use(openStore(timers));
  const prices = [{ provider: 'alder', model: 'small', prices: { input: 1_000_000, output: 2_000_000 } }];
  const ledger = opening.use(await startSmallLedger({ bus, timers, telemetry, store, prices }));
  const opened = opening.move();
  let appended = 0;
  return {
    bus,
    store,
    ledger,
    metrics,
    lines,
    async append(event) {
      const correlation = { traceId: '-', tenantId: event.tenant_id };
      await bus.append(at(usageMetered), event, { messageId: `m${++appended}`, timeoutMs: 1_000, correlation });
    },
    ask: (op, params, tenantId = 'acme') =>
      bus.request(
        at(ledgerV2, { op }),
        { version: '2', request_id: 'req-1', tenant_id: tenantId, params: { ...params } },
        { timeoutMs: 5_000, correlation: { traceId: '-', tenantId } },
      ),
    async rows() {
      const [row] = await store.all<{ count: number }>('SELECT COUNT(*) AS count FROM usage_events');
      return row?.count ?? 0;
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
