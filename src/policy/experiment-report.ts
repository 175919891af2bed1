// What the arms of an experiment came to, from decision records (policy 5.4): how many requests, how many succeeded, how
// long they took, and what they were expected to cost, each with the interval in which 95 of 100 such samples would be.
// Pure. Requests are joined with their outcomes, which may come much later; those that wait are bounded.
import type { DecisionRecord, OutcomeRecord, RequestRecord } from './decision-record.ts';

/** Of the normal distribution, two-sided 95 %. */
const Z = 1.96;
/** Below it the intervals of success say next to nothing. */
const ENOUGH = 100;
/** Requests whose outcome has not been read yet. */
const OPEN_MAX = 100_000;

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
  /** 0 to 1, Wilson. */
  readonly success: Measured | undefined;
  /** Of the answers, from the attempt that gave it. */
  readonly latency_ms: Measured | undefined;
  /** What the price book expected when it was decided; nothing that was billed. */
  readonly expected_cost_micro_usd: Measured | undefined;
}

export interface ExperimentReport {
  readonly tenant_id: string;
  readonly policy_id: string;
  readonly experiment: string;
  readonly arms: readonly ArmReport[];
  /** What keeps a reader from concluding. */
  readonly notes: readonly string[];
}

/** Which experiments are asked for, with their arms in order. */
export interface AskedExperiment {
  /** Undefined: of every tenant. */
  readonly tenantId: string | undefined;
  readonly policyId: string;
  readonly experiment: string;
  readonly arms: readonly string[];
}

interface Sample {
  count: number;
  sum: number;
  squares: number;
}

interface Tally {
  requests: number;
  succeeded: number;
  failed: number;
  cancelled: number;
  readonly latency: Sample;
  readonly cost: Sample;
}

/** One request: its tallies, and what its attempts have come to so far. */
interface Open {
  readonly tallies: readonly Tally[];
  last: OutcomeRecord | undefined;
}

interface Kept {
  readonly tenantId: string;
  readonly asked: AskedExperiment;
  readonly arms: Map<string, Tally>;
}

export class ExperimentReports {
  readonly #asked: readonly AskedExperiment[];
  readonly #kept = new Map<string, Kept>();
  readonly #open = new Map<string, Open>();

  constructor(asked: readonly AskedExperiment[]) {
    this.#asked = asked;
  }

  take(entry: RequestRecord): void {
    if (entry.type === 'decision') this.#decided(entry);
    else if (entry.type === 'outcome') this.#ended(entry);
  }

  report(): readonly ExperimentReport[] {
    for (const key of this.#open.keys()) this.#close(key);
    return [...this.#kept.values()].map(({ tenantId, asked, arms }) => {
      const told = asked.arms.map((arm) => armOf(arm, arms.get(arm) ?? newTally()));
      return {
        tenant_id: tenantId,
        policy_id: asked.policyId,
        experiment: asked.experiment,
        arms: told,
        notes: notesOf(told),
      };
    });
  }

  /** The first attempt says in which arms a request is; the others are the same request. */
  #decided({ tenant_id, policy_id, attempt, verdict, facts }: DecisionRecord): void {
    if (attempt !== 1 || verdict.kind === 'none' || verdict.arms === undefined) return;
    const key = `${tenant_id} ${facts.requestId}`;
    // A provider that admitted nobody is decided again, as the same request.
    if (this.#open.has(key)) return;
    const tallies: Tally[] = [];
    for (const { experiment, arm } of verdict.arms) {
      const tally = this.#tally(tenant_id, policy_id, experiment, arm);
      if (tally === undefined) continue;
      tally.requests++;
      if (verdict.expected_cost_micro_usd !== undefined) add(tally.cost, verdict.expected_cost_micro_usd);
      tallies.push(tally);
    }
    if (tallies.length === 0) return;
    const [oldest] = this.#open.keys();
    if (this.#open.size >= OPEN_MAX && oldest !== undefined) this.#close(oldest);
    this.#open.set(key, { tallies, last: undefined });
  }

  #ended(outcome: OutcomeRecord): void {
    const key = `${outcome.tenant_id} ${outcome.request_id}`;
    const open = this.#open.get(key);
    if (open === undefined) return;
    open.last = outcome;
    // A failed attempt may have another one after it.
    if (outcome.state === 'succeeded' || outcome.state === 'cancelled') this.#close(key);
  }

  #close(key: string): void {
    const { tallies = [], last } = this.#open.get(key) ?? {};
    this.#open.delete(key);
    if (last === undefined) return;
    for (const tally of tallies) {
      if (last.state === 'cancelled') tally.cancelled++;
      else if (last.state !== 'succeeded') tally.failed++;
      else {
        tally.succeeded++;
        add(tally.latency, last.latency_ms);
      }
    }
  }

  #tally(tenantId: string, policyId: string, experiment: string, arm: string): Tally | undefined {
    const asked = this.#asked.find(
      (one) => one.experiment === experiment && one.policyId === policyId && (one.tenantId ?? tenantId) === tenantId,
    );
    if (asked === undefined || !asked.arms.includes(arm)) return undefined;
    const key = `${tenantId} ${policyId} ${experiment}`;
    const kept = this.#kept.get(key) ?? { tenantId, asked, arms: new Map<string, Tally>() };
    this.#kept.set(key, kept);
    const tally = kept.arms.get(arm) ?? newTally();
    kept.arms.set(arm, tally);
    return tally;
  }
}

const newSample = (): Sample => ({ count: 0, sum: 0, squares: 0 });
const newTally = (): Tally => ({
  requests: 0,
  succeeded: 0,
  failed: 0,
  cancelled: 0,
  latency: newSample(),
  cost: newSample(),
});

function add(sample: Sample, value: number): void {
  sample.count++;
  sample.sum += value;
  sample.squares += value * value;
}

const armOf = (arm: string, { requests, succeeded, failed, cancelled, latency, cost }: Tally): ArmReport => ({
  arm,
  requests,
  ended: succeeded + failed,
  cancelled,
  success: wilson(succeeded, succeeded + failed),
  latency_ms: meanOf(latency),
  expected_cost_micro_usd: meanOf(cost),
});

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

const apart = (one: Measured, other: Measured): boolean => one.high < other.low || other.high < one.low;

const MEASURES = [
  ['success', 'success'],
  ['latency_ms', 'latency'],
  ['expected_cost_micro_usd', 'expected cost'],
] as const;

function notesOf(arms: readonly ArmReport[]): readonly string[] {
  const few = arms.filter(({ ended }) => ended < ENOUGH).map(({ arm }) => arm);
  const notes = few.length === 0 ? [] : [`too little: fewer than ${ENOUGH} ended requests in ${few.join(', ')}`];
  for (const [member, name] of MEASURES) {
    const measured = arms.flatMap((arm) => arm[member] ?? []);
    const areApart = measured.some((one, at) => measured.slice(at + 1).some((other) => apart(one, other)));
    if (measured.length > 1 && !areApart) notes.push(`${name}: the intervals overlap, no difference is shown`);
  }
  return notes;
}
