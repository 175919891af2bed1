// The ledger role: folds every usage event of the stream into SQL once, keeps prices, and answers what was used (worker 14).
import type { PriceLine } from '../catalog/price-book.ts';
import type { Bus, Subscription } from '../bus/bus.ts';
import { DeadLetters, type LetterSpill } from '../bus/dead-letters.ts';
import { encode } from '../contracts/codec.ts';
import { ledgerUsage, usageStream } from '../contracts/streams.ts';
import { usageMetered } from '../contracts/usage.ts';
import type { CrashPoints } from '../core/crash-point.ts';
import type { BeamlineError } from '../core/errors.ts';
import { type Checks, mustHold, summaryOf } from '../core/health.ts';
import type { Role } from '../core/role.ts';
import type { Timers } from '../core/timers.ts';
import type { SqlStore } from '../store/sql.ts';
import type { Log } from '../telemetry/log.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { DatabaseProbe } from './database-probe.ts';
import { FoldProgress } from './fold-progress.ts';
import { type LedgerMetrics, openLedgerMetrics } from './ledger-metrics.ts';
import { openSchema, type Schema, whenThere } from './ledger-schema.ts';
import { serveLedger } from './ledger-service.ts';
import { PriceKeeper } from './price-keeper.ts';
import type { Reconcile } from './reconcile.ts';
import { type RetentionRule, startRetention } from './retention.ts';
import { StreamTrim } from './stream-trim.ts';
import { foldUsage } from './usage-fold.ts';
import { UsageBacklog } from './usage-backlog.ts';
import { type UsageDelivery, UsageIntake } from './usage-intake.ts';
import { type FoldedUsage, usageRowOf } from './usage-row.ts';

export interface LedgerDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  /** Stays open when the role ends. */
  readonly store: SqlStore;
  /** Identifier of this process. */
  readonly id: string;
  /** The configuration's prices. */
  readonly prices: readonly PriceLine[];
  /** Events of one transaction. */
  readonly batch: number;
  readonly retention: RetentionRule;
  readonly reconcile: Reconcile;
  /** No other ledger reads the stream of usage. */
  readonly isAlone: boolean;
  /** Bytes of the newest events that wait until somebody reads; absent: each is folded at once, and acknowledged after it. */
  readonly backlogBytes?: number | undefined;
  /** Where dead letters wait that the bus refuses. */
  readonly spill?: LetterSpill | undefined;
  /** Absent in production. */
  readonly crash?: CrashPoints | undefined;
  /** After each commit, with the rows that are new: for whoever copies `spend` on. */
  readonly onFolded?: (added: readonly FoldedUsage[]) => void;
}

export interface LedgerHealth {
  readonly isReady: boolean;
  /** Why not. */
  readonly reason?: string;
  /** Age of the oldest event that is stored or held, and not folded. */
  readonly lagMs: number;
}

export interface Ledger extends Role {
  readonly health: () => LedgerHealth;
  /** What was reported before this epoch moment is folded; undefined while events cannot come or cannot be folded. */
  readonly foldedUntilMs: () => number | undefined;
  /** The tables, with everything in them that was taken so far. */
  readonly store: SqlStore;
}

/** Lag above which the ledger is not ready (worker 15). */
const LAG_MAX_MS = 60_000;

/** Starts also while the database is away, and folds when it comes. Throws `conflict` for a database of another release. */
export async function startLedger(deps: LedgerDeps): Promise<Ledger> {
  const { bus, timers, telemetry, store } = deps;
  const { clock } = timers;
  const log = telemetry.log.for('ledger');
  const metrics = openLedgerMetrics(telemetry.metrics);
  await using opening = new AsyncDisposableStack();
  const schema = opening.use(await openSchema(store, timers, log));
  const probe = opening.use(new DatabaseProbe({ store, timers, log, isThere: () => schema.isThere }));
  const prices = opening.use(await PriceKeeper.open({ bus, store, schema, timers, log, lines: deps.prices }));
  const trim = opening.use(new StreamTrim({ bus, timers, log, isAlone: deps.isAlone }));
  const letters = new DeadLetters({
    bus,
    clock,
    telemetry,
    producer: `ledger@${deps.id}`,
    metric: { name: 'ledger_dead_letters_total', label: 'class' },
    spill: deps.spill,
  });
  await letters.open();
  const intake = openIntake(deps, { log, metrics, prices, probe, letters, trim });
  const { backlogBytes } = deps;
  const { forgotten } = metrics;
  const backlog =
    backlogBytes === undefined ? undefined : new UsageBacklog({ intake, bytesMax: backlogBytes, forgotten });
  const take = backlog === undefined ? (delivery: UsageDelivery) => intake.take(delivery) : taking(backlog, metrics);
  const readable = backlog === undefined ? store : caughtUp(store, () => backlog.drain());
  const progress = opening.use(new FoldProgress({ bus, timers, log }));
  opening.use(startRetention({ store, timers, log, rule: deps.retention }));
  opening.use(
    await whenThere(prices, async () => {
      const usage = await consumeUsage(bus, letters, take);
      void progress.start();
      log.info('ledger_ready', { state: store.dialect });
      return async () => {
        await usage.drain();
        await intake.drain();
      };
    }),
  );
  opening.use(serveLedger({ bus, store: readable, clock, log, prices, reconcile: deps.reconcile }));
  const lagMs = (): number => Math.max(intake.lagMs, progress.lagMs);
  const checks = (): Checks => checksOf(bus, schema, { fault: intake.fault, lagMs: lagMs() }, probe);
  const health = (): LedgerHealth => healthOf(checks(), lagMs());
  telemetry.metrics.beforeRender(() => metrics.state({ isReady: health().isReady, lagMs: lagMs() }));
  // A database that is slow is not ready, and what it folded is folded all the same.
  const foldedUntilMs = (): number | undefined =>
    bus.state === 'connected' && schema.isThere && intake.fault === undefined ? progress.untilMs : undefined;
  const opened = opening.move();
  const state = (): object => ({
    ledger_id: deps.id,
    database: store.dialect,
    held: intake.held,
    fold_lag_ms: Math.round(lagMs()),
    backlog_bytes: backlog?.bytes ?? 0,
  });
  return {
    name: 'ledger',
    health,
    checks,
    state,
    foldedUntilMs,
    store: readable,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

interface IntakeParts {
  readonly log: Log;
  readonly metrics: LedgerMetrics;
  readonly prices: PriceKeeper;
  readonly probe: DatabaseProbe;
  readonly letters: DeadLetters;
  readonly trim: StreamTrim;
}

function openIntake(deps: LedgerDeps, { log, metrics, prices, probe, letters, trim }: IntakeParts): UsageIntake {
  const { timers, store } = deps;
  const { clock } = timers;
  return new UsageIntake({
    timers,
    log,
    batch: deps.batch,
    rowOf: (event) => usageRowOf(event, prices.active.book, clock.epochMs()),
    async fold(usages) {
      const fold = await foldUsage(store, usages, clock.epochMs(), deps.crash);
      probe.proved();
      if (deps.backlogBytes === undefined) metrics.count(fold);
      else metrics.folded(fold);
      deps.onFolded?.(fold.added);
    },
    giveUp: (delivery, fault) => giveUp(letters, delivery, fault, clock.epochMs()),
    onCommitted(deliveries) {
      for (const { seq } of deliveries) trim.folded(seq);
    },
    onRefused: ({ seq }) => trim.refused(seq),
    crash: deps.crash,
  });
}

const taking =
  (backlog: UsageBacklog, metrics: LedgerMetrics) =>
  (delivery: UsageDelivery): void => {
    metrics.taken(delivery.message);
    backlog.take(delivery);
  };

/** The same store, whose readers wait for what is not folded yet. */
const caughtUp = (store: SqlStore, catchUp: () => Promise<void>): SqlStore => ({
  dialect: store.dialect,
  async run(statement, params) {
    await catchUp();
    return store.run(statement, params);
  },
  async all(statement, params) {
    await catchUp();
    return store.all(statement, params);
  },
  async transaction(work) {
    await catchUp();
    return store.transaction(work);
  },
  async exclusive(name, work) {
    await catchUp();
    return store.exclusive(name, work);
  },
  [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
});

function consumeUsage(bus: Bus, letters: DeadLetters, take: (delivery: UsageDelivery) => void): Promise<Subscription> {
  const from = { stream: usageStream, consumer: ledgerUsage };
  return bus.consume(
    { ...from, message: usageMetered.message, undeliverable: (message) => letters.give(message, from) },
    take,
  );
}

/** The event that no row can be made of, whole, with the reason. */
function giveUp(
  letters: DeadLetters,
  { message, seq, count }: UsageDelivery,
  fault: BeamlineError,
  nowMs: number,
): Promise<void> {
  const body = encode(usageMetered.message, message);
  const stored = { seq, storedAtMs: nowMs, count, stream: usageStream.name, limit: 0 };
  const why = { class: 'processing', code: 'EXECUTION_FAILED', message: fault.message, retryable: false } as const;
  return letters.giveMessage({ subject: usageStream.subject, headers: {}, body, stored }, why);
}

function checksOf(
  bus: Bus,
  schema: Schema,
  { lagMs, fault }: Pick<UsageIntake, 'lagMs' | 'fault'>,
  probe: DatabaseProbe,
): Checks {
  const away = schema.isThere ? (fault === undefined ? probe.fault : AWAY) : AWAY;
  return {
    bus: mustHold(bus.state === 'connected', bus.state),
    database: mustHold(away === undefined, away ?? ''),
    fold: mustHold(lagMs <= LAG_MAX_MS, 'lags behind'),
  };
}

const AWAY = 'away';

function healthOf(checks: Checks, lagMs: number): LedgerHealth {
  const { status, message } = summaryOf(checks);
  return { isReady: status === 'ok', lagMs, ...(message === undefined ? {} : { reason: message }) };
}
