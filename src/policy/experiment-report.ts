// What the arms of an experiment came to, from decision records (policy 5.4): how many requests, how many succeeded, fell
// back or were blocked, how long they took, what they were expected to cost and what they cost, with the intervals in which
// 95 of 100 such samples would be.
// Pure. Requests are joined with their outcomes, which may come much later; those that wait are bounded.
import {
  addCost,
  addLatency,
  addSpent,
  type ArmReport,
  armOf,
  type Measured,
  newTally,
  type Tally,
} from './arm-tally.ts';
import type { AttemptRecord, DecisionRecord, OutcomeRecord, RequestRecord, UsageRecord } from './decision-record.ts';
import { REASONS } from './reasons.ts';

/** Below it the intervals of success say next to nothing. */
const ENOUGH = 100;
/** Requests whose outcome has not been read yet. */
const OPEN_MAX = 100_000;
/** More of one request are left out. */
const ATTEMPTS_MAX = 64;

export interface ExperimentReport {
  readonly tenant_id: string;
  readonly policy_id: string;
  readonly experiment: string;
  readonly arms: readonly ArmReport[];
  /** What keeps a reader from concluding. */
  readonly notes: readonly string[];
}

/** Reasons of an attempt that is a fallback. */
const FALLBACKS: ReadonlySet<string> = new Set(
  Object.entries(REASONS).flatMap(([reason, { fallbackUsed }]) => (fallbackUsed ? reason : [])),
);

/** Which experiments are asked for, with their arms in order. */
export interface AskedExperiment {
  /** Undefined: of every tenant. */
  readonly tenantId: string | undefined;
  readonly policyId: string;
  readonly experiment: string;
  readonly arms: readonly string[];
}

/** One request: its tallies, and what its attempts have come to so far. */
interface Open {
  readonly tallies: readonly Tally[];
  last: OutcomeRecord | undefined;
  fallbackUsed: boolean;
}

/** What one request took so far, by attempt: a result that comes twice is metered twice, and an estimate is replaced. */
interface Metered {
  readonly tallies: readonly Tally[];
  readonly attempts: Map<number, UsageRecord>;
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
  /** Apart, because it may stand in the files of another router, before the decision or long after. */
  readonly #metered = new Map<string, Metered>();

  constructor(asked: readonly AskedExperiment[]) {
    this.#asked = asked;
  }

  take(entry: RequestRecord): void {
    switch (entry.type) {
      case 'decision':
        return this.#decided(entry);
      case 'attempt':
        return this.#followed(entry.tenant_id, entry.request_id, entry);
      case 'outcome':
        return this.#ended(entry);
      case 'usage':
        return this.#took(entry);
    }
  }

  report(): readonly ExperimentReport[] {
    for (const key of this.#open.keys()) this.#close(key);
    for (const key of this.#metered.keys()) this.#spent(key);
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
    if (verdict.kind === 'none') return;
    const key = `${tenant_id} ${facts.requestId}`;
    // A provider that admitted nobody is decided again, as the same request.
    if (attempt !== 1 || this.#open.has(key)) return this.#followed(tenant_id, facts.requestId, verdict);
    if (verdict.arms === undefined) return;
    const tallies: Tally[] = [];
    for (const { experiment, arm } of verdict.arms) {
      const tally = this.#tally(tenant_id, policy_id, experiment, arm);
      if (tally === undefined) continue;
      tally.requests++;
      if (verdict.expected_cost_micro_usd !== undefined) addCost(tally, verdict.expected_cost_micro_usd);
      tallies.push(tally);
    }
    if (tallies.length === 0) return;
    const [oldest] = this.#open.keys();
    if (this.#open.size >= OPEN_MAX && oldest !== undefined) this.#close(oldest);
    this.#open.set(key, { tallies, last: undefined, fallbackUsed: FALLBACKS.has(verdict.reason) });
  }

  #followed(tenantId: string, requestId: string, { reason }: Pick<AttemptRecord, 'reason'>): void {
    const open = this.#open.get(`${tenantId} ${requestId}`);
    if (open !== undefined && FALLBACKS.has(reason)) open.fallbackUsed = true;
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
    const { tallies = [], last, fallbackUsed } = this.#open.get(key) ?? {};
    this.#open.delete(key);
    if (last === undefined) return;
    for (const tally of tallies) {
      if (last.state === 'cancelled') {
        tally.cancelled++;
        continue;
      }
      if (fallbackUsed === true) tally.fallback++;
      if (last.state === 'succeeded') {
        tally.succeeded++;
        addLatency(tally, last.latency_ms);
      } else {
        tally.failed++;
        if (last.code === 'CONTENT_BLOCKED') tally.blocked++;
      }
    }
  }

  #took(usage: UsageRecord): void {
    const { tenant_id, policy_id, request_id, attempt, arms, estimated } = usage;
    const key = `${tenant_id} ${policy_id} ${request_id}`;
    let metered = this.#metered.get(key);
    if (metered === undefined) {
      const tallies = arms.flatMap(({ experiment, arm }) => this.#tally(tenant_id, policy_id, experiment, arm) ?? []);
      if (tallies.length === 0) return;
      const [oldest] = this.#metered.keys();
      if (this.#metered.size >= OPEN_MAX && oldest !== undefined) this.#spent(oldest);
      metered = { tallies, attempts: new Map() };
      this.#metered.set(key, metered);
    }
    const known = metered.attempts.get(attempt);
    if (known === undefined ? metered.attempts.size >= ATTEMPTS_MAX : estimated === true) return;
    metered.attempts.set(attempt, usage);
  }

  #spent(key: string): void {
    const { tallies = [], attempts = new Map<number, UsageRecord>() } = this.#metered.get(key) ?? {};
    this.#metered.delete(key);
    const spent = { costMicroUsd: 0, inputTokens: 0, outputTokens: 0, attempts: attempts.size };
    for (const { cost_micro_usd, input_tokens, output_tokens } of attempts.values()) {
      spent.costMicroUsd += cost_micro_usd;
      spent.inputTokens += input_tokens;
      spent.outputTokens += output_tokens;
    }
    for (const tally of tallies) addSpent(tally, spent);
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

const apart = (one: Measured, other: Measured): boolean => one.high < other.low || other.high < one.low;

const MEASURES = [
  ['success', 'success'],
  ['latency_ms', 'mean latency'],
  ['expected_cost_micro_usd', 'expected cost'],
  ['cost_micro_usd', 'cost'],
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
