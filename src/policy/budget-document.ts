// What a policy's traffic may cost (policy 9.2): as it is written, and as the router reads it.
import { BUDGET_WINDOWS, type BudgetWindow } from '../contracts/budget.ts';
import { id, integer, list, number, providerName, word } from './document-parts.ts';
import type { Findings } from './issue.ts';
import { itemsOf } from './references.ts';
import type { Shape } from './shape.ts';

const SCOPES = ['policy', 'key', 'user'] as const;
const ON_EXCEED = ['reject', 'restrict', 'warn'] as const;
const WARN_AT = 0.8;

export interface BudgetDocument {
  readonly id: string;
  readonly limit_micro_usd: number;
  readonly scope?: (typeof SCOPES)[number];
  readonly window?: BudgetWindow;
  readonly warn_at?: number;
  readonly on_exceed?: (typeof ON_EXCEED)[number];
  readonly restrict_to?: readonly string[];
}

export interface PolicyBudget {
  readonly id: string;
  readonly limitMicroUsd: number;
  /** Each key or user within the policy has a budget of its own. */
  readonly scope: (typeof SCOPES)[number];
  readonly window: BudgetWindow;
  /** Share of the limit at which a warning is told. */
  readonly warnAt: number;
  readonly onExceed: (typeof ON_EXCEED)[number];
  /** Who still serves when it is spent and `onExceed` is `restrict`. */
  readonly restrictTo: ReadonlySet<string>;
}

export const budget: Shape = {
  kind: 'record',
  fields: {
    id: { shape: id, isRequired: true },
    limit_micro_usd: { shape: integer(0, Number.MAX_SAFE_INTEGER), isRequired: true },
    scope: { shape: word(SCOPES) },
    window: { shape: word(BUDGET_WINDOWS) },
    warn_at: { shape: number(0, 1) },
    on_exceed: { shape: word(ON_EXCEED) },
    restrict_to: { shape: list(providerName, 1, 100) },
  },
};

export const compileBudget = (budget: BudgetDocument): PolicyBudget =>
  Object.freeze({
    id: budget.id,
    limitMicroUsd: budget.limit_micro_usd,
    scope: budget.scope ?? 'policy',
    window: budget.window ?? 'month',
    warnAt: budget.warn_at ?? WARN_AT,
    onExceed: budget.on_exceed ?? 'reject',
    restrictTo: new Set(budget.restrict_to),
  });

/** `restrict_to` and `on_exceed: restrict` belong together. */
export function checkBudgets(budgets: unknown, findings: Findings): void {
  for (const [path, { on_exceed: onExceed, restrict_to: restrictTo }] of itemsOf(budgets, '/budgets')) {
    if (onExceed === 'restrict' && restrictTo === undefined) {
      findings.error(`${path}/restrict_to`, 'required', `'restrict_to' is required to restrict`);
    }
    if (onExceed !== 'restrict' && restrictTo !== undefined) {
      findings.warning(`${path}/restrict_to`, 'no_effect', `has no effect unless 'on_exceed' is 'restrict'`);
    }
  }
}
