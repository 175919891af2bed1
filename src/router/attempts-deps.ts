// What the attempts of a request are made with: what is the same for every request of a router, and the request itself.
import type { Bus } from '../bus/bus.ts';
import type { Timers } from '../core/timers.ts';
import type { Expectations } from '../policy/expectations.ts';
import type { Facts } from '../policy/facts.ts';
import type { Target } from '../policy/policy.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Marks, Ordered } from './assignment-of.ts';
import type { Attempts } from './attempts.ts';
import type { DecisionLog } from './decision-log.ts';
import type { Extensions } from './extensions.ts';
import type { LiveState } from './live-state.ts';
import type { RequestBudgets } from './request-budgets.ts';
import type { RouterSettings } from './settings.ts';
import type { StickyBindings } from './sticky-bindings.ts';
import type { UnreportedAttempts } from './unreported-attempts.ts';

export interface AttemptsDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly settings: RouterSettings;
  readonly live: LiveState;
  readonly extensions: Extensions;
  readonly bindings: StickyBindings;
  readonly unreported: UnreportedAttempts;
  /** Absent: decisions are not recorded. */
  readonly decisions?: DecisionLog | undefined;
}

export interface First extends Expectations, Marks {
  readonly target: Target;
  readonly model: string | undefined;
  readonly reason: string;
  readonly priority: number;
}

/** One request, from its first attempt to its last. */
export interface Whole {
  readonly ordered: Ordered;
  readonly facts: Facts;
  readonly first: First;
  /** Undefined for most. Whoever made this settles it. */
  readonly budgets?: RequestBudgets | undefined;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  readonly onOver: (attempts: Attempts) => void;
}
