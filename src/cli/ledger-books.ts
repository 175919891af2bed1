// The ledger's rows for who compares them: read from its database where one is named, else asked of the ledger over NATS.
import type { Ground } from '../app/ground.ts';
import { ledgerAddress } from '../app/ledger-store.ts';
import { jobWitness, leasesPastHold } from '../app/ledger-witness.ts';
import type { Bus } from '../bus/bus.ts';
import type { Reconciliation } from '../contracts/ledger-operations.ts';
import type { Clock } from '../core/clock.ts';
import type { AskCosts } from '../ledger/invoice-delta.ts';
import { providerCosts } from '../ledger/provider-costs.ts';
import { type Period, reconcile, type Witness } from '../ledger/reconcile.ts';
import type { SqlStore } from '../store/sql.ts';
import { UsageError } from './exit.ts';
import { askLedger } from './ledger-ask.ts';
import { openLedgerBus, openLedgerDatabase } from './ledger-ground.ts';

interface Books {
  /** Throws wrong usage for a witness of ours where only the ledger reads the rows. */
  readonly reconcile: (period: Period, witness: Witness | undefined) => Promise<Reconciliation>;
  readonly costs: AskCosts;
  /** Rows were held against jobs and leases, which stand on NATS. */
  readonly hasBus: boolean;
}

export type LedgerBooks = Books & AsyncDisposable;

/** The ledger reads every attempt of the period before it answers. */
const TIMEOUT_MS = 300_000;

/** Throws wrong usage where neither a database nor NATS is named. */
export async function openLedgerBooks(ground: Ground): Promise<LedgerBooks> {
  const { clock } = ground.timers;
  await using opening = new AsyncDisposableStack();
  const bus = opening.use(await openLedgerBus(ground));
  const books =
    bus !== undefined && ledgerAddress(ground.config) === undefined
      ? asked(bus, clock)
      : read(opening.use(await openLedgerDatabase(ground)), bus, clock);
  const opened = opening.move();
  return { ...books, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

const read = (store: SqlStore, bus: Bus | undefined, clock: Clock): Books => ({
  async reconcile(period, witness) {
    const jobs = bus === undefined ? [] : [await jobWitness(bus, period)];
    const unsettled = bus === undefined ? [] : await leasesPastHold(bus, clock.epochMs());
    return reconcile(store, period, [...jobs, ...(witness === undefined ? [] : [witness])], unsettled);
  },
  costs: (params) => providerCosts(store, params),
  hasBus: bus !== undefined,
});

function asked(bus: Bus, clock: Clock): Books {
  const line = { bus, clock, timeoutMs: TIMEOUT_MS };
  return {
    async reconcile({ since, until }, witness) {
      if (witness === undefined) return askLedger(line, 'reconcile', { since, until });
      throw new UsageError('--truth is held against a database: give --db, --data, or a --config with ledger.url');
    },
    costs: (params) => askLedger(line, 'costs', params),
    hasBus: true,
  };
}
