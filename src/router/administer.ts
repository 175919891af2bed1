// What administration needs of a running router, put together from its parts.
import type { Bus, Subscription } from '../bus/bus.ts';
import type { Timers } from '../core/timers.ts';
import type { RouterShare } from '../policy/router-share.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { type Administration, serveAdmin } from './admin.ts';
import { momentOf } from './admin-moment.ts';
import type { Rehearse } from './admin-simulations.ts';
import type { BreakerOverrides } from './breaker-overrides.ts';
import type { DecisionLog } from './decision-log.ts';
import type { ExtensionRegistry } from './extension-registry.ts';
import type { ExtensionResets } from '../bus/extension-resets.ts';
import type { Extensions } from './extensions.ts';
import type { LiveState } from './live-state.ts';
import type { RouterSettings } from './settings.ts';
import type { PolicyBudgets } from './policy-budgets.ts';
import type { StickyBindings } from './sticky-bindings.ts';

export interface AdministeredParts {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly settings: RouterSettings;
  readonly decisions?: DecisionLog | undefined;
  readonly routers?: (() => RouterShare) | undefined;
  readonly live: LiveState;
  readonly bindings: StickyBindings;
  readonly budgets: PolicyBudgets;
  readonly overrides: BreakerOverrides;
  readonly extensions: Extensions;
  readonly registry: ExtensionRegistry;
  readonly resets: ExtensionResets;
}

/** Nothing is served without an administration. */
export function administer(administration: Administration | undefined, of: AdministeredParts): readonly Subscription[] {
  if (administration === undefined) return [];
  const { live, overrides, extensions, settings, decisions, routers } = of;
  return serveAdmin({
    ...administration,
    bus: of.bus,
    telemetry: of.telemetry,
    timers: of.timers,
    routerId: settings.id,
    breakers: { list: () => live.breakers(), force: overrides.force.bind(overrides) },
    moment: momentOf(live, of.bindings, of.budgets),
    extensions: {
      health: () => extensions.health(),
      p95Ms: (extensionId) => extensions.p95Ms(extensionId),
      registry: of.registry,
      resets: of.resets,
    },
    rehearse: rehearsalsOf(of),
    records: async () => decisions?.kept(),
    isAlone: () => (routers?.().count ?? 1) <= 1,
  });
}

/** In the time that a request would have for its extensions. */
const rehearsalsOf =
  ({ extensions, settings, timers: { clock } }: AdministeredParts): Rehearse =>
  (policy, request, scope) => {
    const budgetMs = Math.min(request.deadline_ms ?? policy.timeoutMs, policy.timeoutMs, settings.extensions_ms);
    return extensions.rehearse(
      request,
      policy.extensions.filter(({ holds }) => holds(scope)),
      { policyRevision: policy.revision, scope, deadlineMs: clock.nowMs() + budgetMs },
    );
  };
