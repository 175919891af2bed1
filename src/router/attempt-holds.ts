// What the attempts of one request hold in budgets of their tenant that only a decision can name: those of the provider,
// and of tags that rules add (gateway 7.2, 7.3).
// T1. Every attempt is held for on its own, since each may go to another provider; at most one hold is open.
// T2. A hold ends once: with what its attempt took, as it was estimated if nobody told, with nothing if it was not sent.
import { type Amounts, type Budgets, NO_AMOUNTS, type Reservation } from '../limit/budgets.ts';
import type { Target } from '../policy/policy.ts';

/** What an attempt is held for by. */
export type Chosen = Pick<Target, 'name' | 'model'>;

export interface AttemptHoldsOptions {
  readonly budgets: Pick<Budgets, 'reserve'>;
  readonly tenantId: string;
  /** The epoch moment by which the request is over. */
  readonly holdUntilMs: number;
  /** The most that an attempt can take, or what one with so much output took. */
  readonly amountsOf: (target: Chosen, outputTokens?: number) => Amounts;
}

interface Open {
  readonly reservation: Reservation;
  readonly target: Chosen;
  isSent: boolean;
}

export class AttemptHolds {
  readonly #options: AttemptHoldsOptions;
  #open: Open | undefined;
  #isOver = false;

  constructor(options: AttemptHoldsOptions) {
    this.#options = options;
  }

  /** False: the request has ended meanwhile. Throws `budget_exceeded` and `unavailable`. */
  async hold(target: Chosen, tags: readonly string[]): Promise<boolean> {
    this.#close(undefined);
    const { budgets, tenantId, holdUntilMs, amountsOf } = this.#options;
    const reservation = await budgets.reserve(
      { tenantId, providerId: target.name, tags },
      amountsOf(target),
      holdUntilMs,
    );
    if (this.#isOver) reservation.settle(NO_AMOUNTS);
    else this.#open = { reservation, target, isSent: false };
    return !this.#isOver;
  }

  sent(): void {
    if (this.#open !== undefined) this.#open.isSent = true;
  }

  /** The attempt that was sent has ended; undefined if nobody knows its output. */
  ended(outputTokens: number | undefined): void {
    if (this.#open?.isSent === true) this.#close(outputTokens);
  }

  /** What was to be sent was not. */
  unsent(): void {
    if (this.#open !== undefined) this.#open.isSent = false;
  }

  /** Once; further calls change nothing. */
  settle(): void {
    this.#isOver = true;
    this.#close(undefined);
  }

  #close(outputTokens: number | undefined): void {
    if (this.#open === undefined) return;
    const { reservation, target, isSent } = this.#open;
    this.#open = undefined;
    reservation.settle(isSent ? this.#options.amountsOf(target, outputTokens) : NO_AMOUNTS);
  }
}
