// What the attempts of a request are made with, all of them the same for every request of a router.
import type { Bus } from '../bus/bus.ts';
import type { Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { DecisionLog } from './decision-log.ts';
import type { Extensions } from './extensions.ts';
import type { LiveState } from './live-state.ts';
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
