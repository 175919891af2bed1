// Serves questions to the ledger over the bus. Every statement carries the tenant of the question, which gateways have
// authorized, but for those of operators: `reconcile` and `costs` are about all tenants.
// L1. A bad question is always answered, also while the database is away.
import type { Bus, Subscription } from '../bus/bus.ts';
import { everyOf } from '../contracts/contract.ts';
import { contextOf } from '../contracts/failure.ts';
import {
  LEDGER_OPERATIONS,
  type LedgerOperation,
  type LedgerReply,
  type LedgerRequest,
  ledgerV2,
} from '../contracts/ledger.ts';
import {
  LEDGER_PARAMS,
  type LedgerParams,
  type LedgerResults,
  type PriceRecord,
} from '../contracts/ledger-operations.ts';
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import type { SqlStore } from '../store/sql.ts';
import type { Log } from '../telemetry/log.ts';
import type { PriceKeeper } from './price-keeper.ts';
import { providerCosts } from './provider-costs.ts';
import type { Reconcile } from './reconcile.ts';
import { usagePage, usageRun } from './usage-pages.ts';
import { usageReport } from './usage-report.ts';

export interface ServiceDeps {
  readonly bus: Bus;
  readonly store: SqlStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly prices: PriceKeeper;
  readonly reconcile: Reconcile;
}

type Operations = {
  readonly [Op in LedgerOperation]: (params: LedgerParams[Op], tenantId: string) => Promise<LedgerResults[Op]>;
};

/** Questions that one process works on at a time; each may hold the database. */
const PENDING_MAX = 64;

export function serveLedger(deps: ServiceDeps): Subscription {
  const operations = operationsOf(deps);
  return deps.bus.serve(
    everyOf(ledgerV2),
    { queue: 'ledger', pendingMax: PENDING_MAX },
    async (request, { subject }) => {
      const op = subject.slice(subject.lastIndexOf('.') + 1);
      if (!isOperation(op)) throw new BeamlineError('invalid_request', 'there is no such operation');
      const result = await answer(operations, op, request);
      return { version: '2', ok: true, result: { ...result }, context: contextOf(request) } satisfies LedgerReply;
    },
  );
}

const isOperation = (op: string): op is LedgerOperation => (LEDGER_OPERATIONS as readonly string[]).includes(op);

function answer<Op extends LedgerOperation>(
  operations: Operations,
  op: Op,
  { params, tenant_id: tenantId }: LedgerRequest,
): Promise<LedgerResults[Op]> {
  const declared = LEDGER_PARAMS[op];
  if (!declared.check(params)) throw invalid(declared.fault(params));
  return operations[op](params, tenantId);
}

/** `/name: message` of a schema as the field that it is about. */
function invalid(fault: string): BeamlineError {
  const [, path = '', message = ''] = /^\/?([^:]*): (.*)$/s.exec(fault) ?? [];
  return new BeamlineError('invalid_request', fault.slice(0, 512), {
    details: { reason: 'schema', fields: [{ path, code: 'invalid', message: message.slice(0, 256) }] },
  });
}

function operationsOf({ store, prices, clock, log, reconcile }: ServiceDeps): Operations {
  return {
    async usage(params, tenantId) {
      const report = await usageReport(store, tenantId, params);
      const { since, until } = params;
      return { period: { since, until }, currency: 'USD', price_version: prices.active.version, ...report };
    },
    usage_events: (params, tenantId) => usagePage(store, tenantId, params),
    usage_run: ({ run_id }, tenantId) => usageRun(store, tenantId, run_id, clock.epochMs()),
    async prices() {
      const { version, revision, lines } = prices.active;
      return { version, revision, currency: 'USD', lines: lines.map(priceRecord) };
    },
    async put_prices({ document, expected_revision }) {
      const { version, revision } = await prices.put(document, expected_revision);
      log.info('prices_put', { revision, state: version });
      return { version, revision };
    },
    reconcile,
    costs: (params) => providerCosts(store, params),
  };
}

const priceRecord = ({ provider, model, effectiveFromMs = 0, version = '-', prices }: PricesLine): PriceRecord => ({
  provider,
  model,
  effective_from: effectiveFromMs,
  version,
  ...prices,
});

type PricesLine = PriceKeeper['active']['lines'][number];
