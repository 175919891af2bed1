// Exchanges that reserve what they may cost before the router is asked, and settle what they did (gateway 7.3).
// G1. Where no budget is about a caller nothing is added: the exchange is the relay's own.
// G2. A reservation is settled exactly once: by the end, by the failure, or by the caller who left.
// G3. What a failed or cancelled exchange took is known to the ledger only; its reservation counts until then.
import type { CancelReason } from '../contracts/cancel.ts';
import type { EndFrame } from '../contracts/frames.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Amounts, Budgets, Reservation } from '../limit/budgets.ts';
import type { Exchange, Exchanges, Order, Reader, Routed } from './order.ts';

export interface BudgetedDeps {
  readonly exchanges: Exchanges;
  readonly budgets: Pick<Budgets, 'covers' | 'reserve'>;
  /** The most that an order can take. */
  readonly estimate: (order: Order) => Amounts;
  readonly epochMs: () => number;
}

export const budgetedExchanges = (deps: BudgetedDeps): Exchanges => ({
  get active() {
    return deps.exchanges.active;
  },
  open: (order, reader) =>
    deps.budgets.covers(order.tenantId)
      ? new BudgetedExchange(deps, order, reader)
      : deps.exchanges.open(order, reader),
});

type Phase =
  | { readonly kind: 'reserving' }
  | { readonly kind: 'open'; readonly reservation: Reservation; readonly exchange: Exchange | undefined }
  | { readonly kind: 'over' };

class BudgetedExchange implements Exchange, Reader, Routed {
  readonly #deps: BudgetedDeps;
  readonly #order: Order;
  readonly #reader: Reader;
  readonly #amounts: Amounts;
  #phase: Phase = { kind: 'reserving' };
  #routed: Routed | undefined;

  constructor(deps: BudgetedDeps, order: Order, reader: Reader) {
    this.#deps = deps;
    this.#order = order;
    this.#reader = reader;
    this.#amounts = deps.estimate(order);
    const spender = { tenantId: order.tenantId, keyId: order.keyId, userId: order.userId, policyId: order.policyId };
    const reserved = deps.budgets.reserve(spender, this.#amounts, deps.epochMs() + order.deadlineMs);
    if (!(reserved instanceof Promise)) this.#open(reserved);
    else {
      reserved.then(
        (reservation) => this.#open(reservation),
        (fault: unknown) => this.#refused(BeamlineError.from(fault)),
      );
    }
  }

  get routed(): Routed {
    return this;
  }

  get providerId(): string | undefined {
    return this.#routed?.providerId;
  }

  get model(): string | undefined {
    return this.#routed?.model;
  }

  get policyId(): string | undefined {
    return this.#routed?.policyId ?? this.#order.policyId;
  }

  get policyRevision(): number | undefined {
    return this.#routed?.policyRevision;
  }

  get attempts(): number {
    return this.#routed?.attempts ?? 0;
  }

  get costMicroUsd(): number | undefined {
    return this.#routed?.costMicroUsd;
  }

  cancel(reason: CancelReason): void {
    const phase = this.#phase;
    this.#phase = { kind: 'over' };
    if (phase.kind !== 'open') return;
    phase.exchange?.cancel(reason);
    phase.reservation.settle(this.#amounts);
  }

  chunk(raw: string, isUsageOnly: boolean): void {
    this.#reader.chunk(raw, isUsageOnly);
  }

  end(frame: EndFrame): void {
    const { usage, total_cost_micro_usd: total } = frame;
    this.#settle({
      micro_usd: total ?? usage.cost_micro_usd,
      tokens: usage.input_tokens + usage.output_tokens,
      requests: 1,
    });
    this.#reader.end(frame);
  }

  fail(error: BeamlineError): void {
    this.#settle(this.#amounts);
    this.#reader.fail(error);
  }

  #open(reservation: Reservation): void {
    if (this.#phase.kind === 'over') return reservation.settle({ micro_usd: 0, tokens: 0, requests: 0 });
    this.#phase = { kind: 'open', reservation, exchange: undefined };
    const exchange = this.#deps.exchanges.open(this.#order, this);
    this.#routed = exchange.routed;
    // It may have ended while it was opened.
    if (this.#phase.kind === 'open') this.#phase = { kind: 'open', reservation, exchange };
  }

  #refused(error: BeamlineError): void {
    if (this.#phase.kind === 'over') return;
    this.#phase = { kind: 'over' };
    this.#reader.fail(error);
  }

  #settle(actual: Amounts): void {
    if (this.#phase.kind === 'open') this.#phase.reservation.settle(actual);
    this.#phase = { kind: 'over' };
  }
}
