// What a caller may ask of a decision by headers, whatever the work is (gateway 5.1): a body that says it wins.
import type { DecideRequest } from '../contracts/decide.ts';

export interface Wishes {
  /** Candidates that are estimated above it are left out. */
  readonly maxCostMicroUsd?: number;
  readonly priority?: number;
  /** Facts that policies read as `context.*`. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Around the middle that a request has which asks for nothing. */
export const PRIORITIES: Readonly<Record<string, number>> = { low: 25, normal: 50, high: 75 };

export const priorityNamed = (name: string): number | undefined =>
  Object.hasOwn(PRIORITIES, name) ? PRIORITIES[name] : undefined;

type Wishing = Pick<DecideRequest, 'constraints' | 'options' | 'metadata'>;

export function addWishes(request: Wishing, { maxCostMicroUsd, priority, metadata }: Wishes): void {
  if (maxCostMicroUsd !== undefined) {
    const own = request.constraints?.max_cost_micro_usd ?? maxCostMicroUsd;
    request.constraints = { ...request.constraints, max_cost_micro_usd: Math.min(own, maxCostMicroUsd) };
  }
  if (priority !== undefined) request.options = { priority, ...request.options };
  if (metadata !== undefined) request.metadata = { ...metadata, ...request.metadata };
}
