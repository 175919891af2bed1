// The wiring of budgets: the definitions of the configuration, leases in a bucket, estimates by the dearest price.
import type { Bus } from '../bus/bus.ts';
import { costOf, priceLines } from '../catalog/price-book.ts';
import { openPriceCeiling } from '../catalog/price-ceiling.ts';
import type { Config } from '../config/schema.ts';
import { type Budget, budgetBucket } from '../contracts/budget.ts';
import { newProcessId } from '../core/ids.ts';
import { budgetedExchanges } from '../gateway/budgeted-exchanges.ts';
import type { Exchanges, Order } from '../gateway/order.ts';
import { type Amounts, Budgets } from '../limit/budgets.ts';
import type { Ground } from './ground.ts';

/** Without a budget these are the exchanges that were given. */
export async function openBudgetedExchanges(
  { config, timers, telemetry }: Ground,
  bus: Bus,
  exchanges: Exchanges,
): Promise<Exchanges & AsyncDisposable> {
  const definitions = budgetsOf(config);
  if (definitions.length === 0) return owning(exchanges, () => Promise.resolve());
  const bucket = await bus.openBucket(budgetBucket);
  const budgets = new Budgets({ bucket, timers, telemetry, holder: newProcessId('gateway'), definitions });
  const ceilingOf = openPriceCeiling(priceLines(config.providers.list));
  const budgeted = budgetedExchanges({
    exchanges,
    budgets,
    estimate: estimateBy(ceilingOf, config.gateway.budget_output_tokens),
    epochMs: () => timers.clock.epochMs(),
  });
  return owning(budgeted, () => budgets[Symbol.asyncDispose]());
}

const owning = (exchanges: Exchanges, close: () => Promise<void>): Exchanges & AsyncDisposable => ({
  get active() {
    return exchanges.active;
  },
  open: (order, reader) => exchanges.open(order, reader),
  [Symbol.asyncDispose]: close,
});

export const budgetsOf = ({ budgets }: Config): Budget[] =>
  budgets.map(({ id, tenant, scope, subject, unit, limit, window, action, warn_at }) => ({
    id,
    tenant_id: tenant,
    scope,
    subject: scope === 'tenant' ? '-' : subject,
    unit,
    limit,
    window,
    action,
    warn_at,
  }));

/** Input as counted, output as asked for, at the highest price that may apply; what has no price costs nothing. */
const estimateBy =
  (ceilingOf: ReturnType<typeof openPriceCeiling>, outputTokensDefault: number) =>
  ({ model, providersAllow, inputTokensEstimate, outputTokensMax = outputTokensDefault }: Order): Amounts => {
    const usage = { inputTokens: inputTokensEstimate, outputTokens: outputTokensMax, cachedInputTokens: 0 };
    return {
      micro_usd: costOf(ceilingOf(model, providersAllow), usage).costMicroUsd,
      tokens: inputTokensEstimate + outputTokensMax,
      requests: 1,
    };
  };
