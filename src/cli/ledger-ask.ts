// Asks a ledger over the bus, for operators.
import type { Bus } from '../bus/bus.ts';
import { at } from '../contracts/contract.ts';
import { type LedgerOperation, ledgerV2 } from '../contracts/ledger.ts';
import type { LedgerParams, LedgerResults } from '../contracts/ledger-operations.ts';
import type { Clock } from '../core/clock.ts';
import { BeamlineError, isErrorCode } from '../core/errors.ts';
import { newHex, newRequestId } from '../core/ids.ts';

export interface LedgerLine {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** Throws the ledger's refusal. */
export async function askLedger<Op extends LedgerOperation>(
  { bus, clock, timeoutMs }: LedgerLine,
  op: Op,
  params: LedgerParams[Op],
): Promise<LedgerResults[Op]> {
  const reply = await bus.request(
    at(ledgerV2, { op }),
    { version: '2', request_id: newRequestId(clock), tenant_id: '-', params: { ...params } },
    { timeoutMs, correlation: { traceId: newHex(16), tenantId: '-' } },
  );
  // The ledger made it by the same table of operations.
  if (reply.ok && reply.result !== undefined) return reply.result as unknown as LedgerResults[Op];
  const code = reply.error?.code ?? 'invalid_reply';
  throw new BeamlineError(isErrorCode(code) ? code : 'internal', `${code}: ${reply.error?.message ?? 'no result'}`);
}
