// What attempts of jobs hold in the budgets of their policy and their provider, from before they are sent until they have ended (policy 9.2).
// H1. The router that sends an attempt holds for it. If it dies, its lease stands until the attempt is due, and no longer.
import type { AttemptOutcome } from '../../contracts/outcome.ts';
import { errorRow } from '../../core/errors.ts';
import { LiveMap } from '../../core/live-map.ts';
import type { Timer, Timers } from '../../core/timers.ts';
import { addedTags } from '../assignment-of.ts';
import type { RequestBudgets } from '../request-budgets.ts';
import type { Decided, Go, Plan, Planner } from './job-plan.ts';
import type { FoundJob } from './job-store.ts';

/** A plan, and what is held for it. */
export interface HeldPlan {
  readonly plan: Plan;
  readonly budgets: RequestBudgets | undefined;
}

interface Held {
  readonly attempt: number;
  readonly budgets: RequestBudgets;
  readonly tookMicroUsd: (outputTokens: number) => number | undefined;
  readonly timer: Timer;
}

export interface HeldAttemptsDeps {
  readonly timers: Timers;
  readonly planner: Planner;
}

export class HeldAttempts implements Disposable {
  readonly #deps: HeldAttemptsDeps;
  /** By assignment: one attempt of a job is out at a time. */
  readonly #held = new LiveMap<Held>();

  constructor(deps: HeldAttemptsDeps) {
    this.#deps = deps;
  }

  /** The next attempt, held for; planned anew when a budget does not bear it. Throws `unavailable`. */
  async plan(found: FoundJob, decided: Decided | undefined): Promise<HeldPlan> {
    const { planner } = this.#deps;
    const budgets = planner.budgetsOf(found);
    if (budgets === undefined) return { plan: planner.plan(found, decided), budgets };
    try {
      await budgets.known();
      return await this.#planWithin(found, budgets, decided);
    } catch (fault) {
      budgets.settle();
      throw fault;
    }
  }

  /** Sends, and holds until the attempt has ended; what is not sent holds nothing. */
  async whileOut<S extends string>(
    { request }: FoundJob,
    { plan, budgets }: { readonly plan: Go; readonly budgets: RequestBudgets | undefined },
    send: () => Promise<S | 'out'>,
  ): Promise<S | 'out'> {
    if (budgets === undefined) return send();
    const { planner, timers } = this.#deps;
    const { attempt } = plan.attempt;
    budgets.sent(planner.costOf(request, plan));
    // A worker may be faster than the answer of the stream.
    this.#end(request.assignment_id);
    this.#held.set(request.assignment_id, {
      attempt,
      budgets,
      tookMicroUsd: (outputTokens) => planner.costOf(request, plan, outputTokens),
      timer: timers.after(planner.outMs(request, plan.policy), () => this.#end(request.assignment_id)),
    });
    let sent: S | 'out' | undefined;
    try {
      sent = await send();
      return sent;
    } finally {
      if (sent !== 'out') {
        budgets.unsent();
        if (this.#held.get(request.assignment_id)?.budgets === budgets) this.#end(request.assignment_id);
        budgets.settle();
      }
    }
  }

  heard({ assignment_id: assignmentId, attempt, state, output_tokens: outputTokens }: AttemptOutcome): void {
    const held = this.#held.get(assignmentId);
    if (held === undefined || held.attempt !== attempt || state === 'committed') return;
    held.budgets.ended(outputTokens === undefined ? undefined : held.tookMicroUsd(outputTokens), outputTokens);
    this.#end(assignmentId);
  }

  /** What is out goes on, and so do its leases. */
  [Symbol.dispose](): void {
    for (const { timer } of this.#held.values()) timer.cancel();
    this.#held.clear();
  }

  async #planWithin(found: FoundJob, budgets: RequestBudgets, decided: Decided | undefined): Promise<HeldPlan> {
    const { planner } = this.#deps;
    let asked = decided;
    for (const _ of planner.candidatesOf(found)) {
      const plan = planner.plan(found, asked, budgets);
      if (plan.kind !== 'go') {
        budgets.settle();
        return { plan, budgets: undefined };
      }
      const { attempt } = plan;
      const tags = addedTags(found.request.request, attempt);
      // eslint-disable-next-line no-await-in-loop -- a refusal counts for the next plan
      if (await budgets.hold(attempt.target, planner.costOf(found.request, plan), tags)) return { plan, budgets };
      asked = undefined;
    }
    budgets.settle();
    const { code, message } = budgets.exceeded();
    return { plan: { kind: 'refused', error: { code, message, retryable: errorRow(code).retry } }, budgets: undefined };
  }

  #end(assignmentId: string): void {
    const held = this.#held.get(assignmentId);
    if (held === undefined) return;
    this.#held.delete(assignmentId);
    held.timer.cancel();
    held.budgets.settle();
  }
}
