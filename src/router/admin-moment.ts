// What a router knows at this moment, asked for without a trace: for decisions that shall have no effect (policy 11.2).
// A breaker takes the settings of whoever asks it and may open by them, so a dry run looks at it and does not ask.
import type { Facts, Snapshot } from '../policy/facts.ts';
import type { Policy } from '../policy/policy.ts';
import { stickyKey } from '../policy/sticky.ts';
import type { BreakerView } from './breakers.ts';
import type { LiveState } from './live-state.ts';
import type { PolicyBudgets } from './policy-budgets.ts';
import type { RequestBudgets } from './request-budgets.ts';
import type { StickyBindings } from './sticky-bindings.ts';

export interface Moment {
  /** What the budgets of the policy say of a request, which takes a look into their bucket. */
  budgetsOf(policy: Policy, facts: Facts): Promise<RequestBudgets | undefined>;
  /** The snapshot of a request's first attempt; valid in this turn only. */
  now(policy: Policy, facts: Facts, budgets: RequestBudgets | undefined): Snapshot;
}

export const momentOf = (
  live: Pick<LiveState, 'first' | 'breakers'>,
  bindings: Pick<StickyBindings, 'get'>,
  policyBudgets: Pick<PolicyBudgets, 'lookedAt'>,
): Moment => ({
  budgetsOf: (policy, facts) => policyBudgets.lookedAt(policy, facts),
  now(policy, facts, budgets) {
    const { tenantId } = facts;
    const key = stickyKey(policy, facts);
    const bound = key === undefined ? key : bindings.get(key);
    const known = live.first(tenantId, { ...policy, breaker: undefined }, bound, budgets);
    const applied = live
      .breakers()
      .filter((one) => one.tenantId === tenantId && (policy.breaker !== undefined || one.mode === 'force_open'));
    const namesOf = (state: BreakerView['state']): ReadonlySet<string> =>
      new Set(applied.filter((one) => one.state === state).map(({ providerId }) => providerId));
    return lookedAt(known, namesOf('open'), namesOf('half_open'));
  },
});

/** The same snapshot with other answers about breakers; a question that it does not answer stays so. */
function lookedAt(known: Snapshot, open: ReadonlySet<string>, halfOpen: ReadonlySet<string>): Snapshot {
  return new Proxy(known, {
    get(target, name) {
      if (name === 'isOpen') return (provider: string) => open.has(provider);
      if (name === 'isHalfOpen') return (provider: string) => halfOpen.has(provider);
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}
