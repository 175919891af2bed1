// The wiring of budgets: definitions of the configuration and of the API, leases in a bucket, estimates by the dearest price.
import type { Bus } from '../bus/bus.ts';
import { costOf } from '../catalog/price-book.ts';
import type { CeilingOf } from '../catalog/price-ceiling.ts';
import { budgetBucket } from '../contracts/budget.ts';
import { newProcessId } from '../core/ids.ts';
import { BudgetBook } from '../gateway/budget-book.ts';
import { budgetedExchanges } from '../gateway/budgeted-exchanges.ts';
import type { JobBudgets } from '../gateway/jobs/budgeted-jobs.ts';
import type { JobDecide } from '../gateway/jobs/submit-job.ts';
import type { Exchanges, Order } from '../gateway/order.ts';
import { BudgetDefinitions } from '../limit/budget-definitions.ts';
import { type Amounts, Budgets } from '../limit/budgets.ts';
import { budgetsOf } from './configured-budgets.ts';
import { crashingBucket, crashPoints } from './crash-points.ts';
import type { Ground } from './ground.ts';
import { openLivePrices } from './live-prices.ts';

export interface OpenedBudgets extends AsyncDisposable {
  readonly book: BudgetBook;
  readonly jobs: JobBudgets;
  /** The exchanges that reserve where a budget is about the caller. */
  around(exchanges: Exchanges): Exchanges;
}

/** Around the lease for a request, and around what is given back of it. */
const LEASE_POINTS = [
  [13, 14],
  [15, 16],
] as const;

/**
 * Jobs lease under a name of their own: a lease outlives its process until the last reservation would have ended, and
 * that of a job may be a day away.
 */
export async function openBudgets(ground: Ground, bus: Bus): Promise<OpenedBudgets> {
  const { config, timers, telemetry } = ground;
  await using opening = new AsyncDisposableStack();
  const definitions = new BudgetDefinitions(budgetsOf(config));
  const bucket = crashingBucket(await bus.openBucket(budgetBucket), crashPoints(ground), LEASE_POINTS);
  const holder = newProcessId('gateway');
  const shared = { bucket, timers, telemetry, definitions };
  const budgets = opening.use(new Budgets({ ...shared, holder }));
  const jobs = opening.use(new Budgets({ ...shared, holder: `${holder}-jobs` }));
  const log = telemetry.log.for('gateway');
  const book = opening.use(await BudgetBook.open({ bus, timers, log, definitions }));
  const { ceilingOf } = opening.use(await openLivePrices(ground, bus, log));
  const estimate = estimateBy(ceilingOf, config.gateway.budget_output_tokens);
  const opened = opening.move();
  return {
    book,
    jobs: { budgets: jobs, estimate: (request) => (isModelTask(request) ? estimate(sizeOf(request)) : ONE_REQUEST) },
    around: (exchanges) => budgetedExchanges({ exchanges, budgets, estimate, epochMs: () => timers.clock.epochMs() }),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** What an estimate is made of. */
type Size = Pick<Order, 'model' | 'providersAllow' | 'inputTokensEstimate' | 'outputTokensMax'>;

/** Input as counted, output as asked for, at the highest price that may apply; what has no price costs nothing. */
const estimateBy =
  (ceilingOf: CeilingOf, outputTokensDefault: number) =>
  ({ model, providersAllow, inputTokensEstimate, outputTokensMax = outputTokensDefault }: Size): Amounts => {
    const usage = { inputTokens: inputTokensEstimate, outputTokens: outputTokensMax, cachedInputTokens: 0 };
    return {
      micro_usd: costOf(ceilingOf(model, providersAllow), usage).costMicroUsd,
      tokens: inputTokensEstimate + outputTokensMax,
      requests: 1,
    };
  };

/** Blocks have no price that is known before they run. */
const ONE_REQUEST: Amounts = { micro_usd: 0, tokens: 0, requests: 1 };
const isModelTask = ({ task }: JobDecide): boolean => task.type.startsWith('ai.');
const BYTES_PER_TOKEN = 4;
/** Where the payload of a chat says how long its answer may be. */
const OUTPUT_MEMBERS = ['max_output_tokens', 'max_completion_tokens', 'max_tokens'] as const;

function sizeOf({ task: { model, payload }, constraints, estimate }: JobDecide): Size {
  const asked = OUTPUT_MEMBERS.map((name) => payload?.[name]).find((value) => isCount(value));
  return {
    model,
    providersAllow: constraints?.providers_allow,
    inputTokensEstimate:
      estimate?.input_tokens ?? Math.ceil(Buffer.byteLength(JSON.stringify(payload ?? {})) / BYTES_PER_TOKEN),
    outputTokensMax: estimate?.max_output_tokens ?? asked,
  };
}

const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value) && value >= 0;
