// Asks the ledger for a tenant whom the gate has let in.
import type { Bus } from '../bus/bus.ts';
import { at } from '../contracts/contract.ts';
import { type LedgerOperation, ledgerV2 } from '../contracts/ledger.ts';
import type { LedgerParams, LedgerResults } from '../contracts/ledger-operations.ts';
import { BeamlineError } from '../core/errors.ts';
import { errorOfReply } from './bus-error.ts';

/** A report reads many rows. */
const TIMEOUT_MS = 30_000;

export interface LedgerCaller {
  readonly requestId: string;
  readonly traceId: string;
  readonly tenantId: string;
}

/** Rejects with the refusal of the ledger, or with `unavailable`, `timeout`, `invalid_reply`. */
export type AskLedger = <Op extends LedgerOperation>(
  op: Op,
  params: LedgerParams[Op],
  caller: LedgerCaller,
) => Promise<LedgerResults[Op]>;

export const askLedgerOver =
  (bus: Bus): AskLedger =>
  async (op, params, { requestId, traceId, tenantId }) => {
    const reply = await bus.request(
      at(ledgerV2, { op }),
      { version: '2', request_id: requestId, tenant_id: tenantId, params: { ...params } },
      { timeoutMs: TIMEOUT_MS, correlation: { traceId, tenantId } },
    );
    if (!reply.ok) throw errorOfReply(reply);
    if (reply.result === undefined) throw new BeamlineError('invalid_reply', 'the ledger answered without a result');
    // The ledger made it by the same table of operations.
    return reply.result as never;
  };
