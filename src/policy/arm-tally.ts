// What is added up of one arm of an experiment, and the measures that come of it. Pure, and as large for a million requests
// as for ten thousand.

/** Of the normal distribution, two-sided 95 %. */
const Z = 1.96;
/** Digits to which a latency is kept: at most 900 values for each power of ten. */
const DIGITS = 3;

/** A share or a mean with its interval; undefined where nothing was measured. */
export interface Measured {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

export interface ArmReport {
  readonly arm: string;
  readonly requests: number;
  /** Of those whose end is recorded and that nobody cancelled. */
  readonly ended: number;
  readonly cancelled: number;
  /** 0 to 1, Wilson; of the ended ones, as the shares below. */
  readonly success: Measured | undefined;
  /** A fallback was used, whatever came of it. */
  readonly fallback: Measured | undefined;
  /** The provider's filter refused the content in the end. */
  readonly blocked: Measured | undefined;
  /** Mean of the answers, from the attempt that gave it. */
  readonly latency_ms: Measured | undefined;
  /** Of the same latencies, to three digits. */
  readonly latency_p50_ms: number | undefined;
  readonly latency_p95_ms: number | undefined;
  /** What the price book expected when it was decided; nothing that was billed. */
  readonly expected_cost_micro_usd: Measured | undefined;
  /** What a request took, all its attempts together; of what was metered. Undefined where nothing was. */
  readonly cost_micro_usd: Measured | undefined;
  readonly input_tokens: number | undefined;
  readonly output_tokens: number | undefined;
  /** Attempts of a request that took anything. */
  readonly metered_attempts: number | undefined;
}

/** What was metered of one request. */
export interface Spent {
  costMicroUsd: number;
  inputTokens: number;
  outputTokens: number;
  attempts: number;
}

interface Sample {
  count: number;
  sum: number;
  squares: number;
}

export interface Tally {
  requests: number;
  succeeded: number;
  failed: number;
  cancelled: number;
  /** Of those that succeeded or failed. */
  fallback: number;
  /** Of those that failed. */
  blocked: number;
  readonly latency: Sample;
  /** How many answers took so long. */
  readonly latencies: Map<number, number>;
  readonly cost: Sample;
  /** Of the requests that took anything. */
  readonly spent: Sample;
  inputTokens: number;
  outputTokens: number;
  meteredAttempts: number;
}

const newSample = (): Sample => ({ count: 0, sum: 0, squares: 0 });
export const newTally = (): Tally => ({
  requests: 0,
  succeeded: 0,
  failed: 0,
  cancelled: 0,
  fallback: 0,
  blocked: 0,
  latency: newSample(),
  latencies: new Map(),
  cost: newSample(),
  spent: newSample(),
  inputTokens: 0,
  outputTokens: 0,
  meteredAttempts: 0,
});

export function addLatency({ latency, latencies }: Tally, ms: number): void {
  add(latency, ms);
  const kept = Number(ms.toPrecision(DIGITS));
  latencies.set(kept, (latencies.get(kept) ?? 0) + 1);
}

export const addCost = ({ cost }: Tally, microUsd: number): void => add(cost, microUsd);

export function addSpent(tally: Tally, { costMicroUsd, inputTokens, outputTokens, attempts }: Spent): void {
  add(tally.spent, costMicroUsd);
  tally.inputTokens += inputTokens;
  tally.outputTokens += outputTokens;
  tally.meteredAttempts += attempts;
}

function add(sample: Sample, value: number): void {
  sample.count++;
  sample.sum += value;
  sample.squares += value * value;
}

export function armOf(arm: string, tally: Tally): ArmReport {
  const ended = tally.succeeded + tally.failed;
  // One that ended and took nothing has cost nothing.
  const { spent } = tally;
  const count = spent.count === 0 ? 0 : Math.max(spent.count, ended + tally.cancelled);
  const each = (sum: number): number | undefined => (count === 0 ? undefined : sum / count);
  return {
    arm,
    requests: tally.requests,
    ended,
    cancelled: tally.cancelled,
    success: wilson(tally.succeeded, ended),
    fallback: wilson(tally.fallback, ended),
    blocked: wilson(tally.blocked, ended),
    latency_ms: meanOf(tally.latency),
    latency_p50_ms: percentile(tally.latencies, 0.5),
    latency_p95_ms: percentile(tally.latencies, 0.95),
    expected_cost_micro_usd: meanOf(tally.cost),
    cost_micro_usd: meanOf({ ...spent, count }),
    input_tokens: each(tally.inputTokens),
    output_tokens: each(tally.outputTokens),
    metered_attempts: each(tally.meteredAttempts),
  };
}

function wilson(hits: number, count: number): Measured | undefined {
  if (count === 0) return undefined;
  const share = hits / count;
  const [z2, whole] = [Z * Z, count + Z * Z];
  const middle = (hits + z2 / 2) / whole;
  const half = (Z / whole) * Math.sqrt(count * share * (1 - share) + z2 / 4);
  return { value: share, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

/** One value has no interval: it is as wide as can be. */
function meanOf({ count, sum, squares }: Sample): Measured | undefined {
  if (count === 0) return undefined;
  const value = sum / count;
  if (count === 1) return { value, low: 0, high: Number.POSITIVE_INFINITY };
  const variance = Math.max(0, (squares - (sum * sum) / count) / (count - 1));
  const half = Z * Math.sqrt(variance / count);
  return { value, low: Math.max(0, value - half), high: value + half };
}

/** The least value that the share of them does not exceed. */
function percentile(counts: ReadonlyMap<number, number>, share: number): number | undefined {
  let left = share * [...counts.values()].reduce((sum, count) => sum + count, 0);
  for (const [value, count] of [...counts].toSorted(([one], [other]) => one - other)) {
    left -= count;
    if (left <= 0) return value;
  }
  return undefined;
}
