// Decides recorded requests again (policy 11.3): by the revision that decided them, which must say the same, and by a
// candidate, to tell what it would change. One pass; what is kept grows with the providers, not with the records.
import type { ReplayedDecision, ReplayReport as Report } from '../contracts/admin-operations.ts';
import { decide, type Verdict } from './decide.ts';
import {
  type DecisionRecord,
  type RequestRecord,
  type RecordedVerdict,
  snapshotOf,
  verdictOf,
} from './decision-record.ts';
import type { Explanation } from './explanation.ts';
import type { Policy } from './policy.ts';
import { Means } from './replay-means.ts';

/** Changes and mismatches that are told one by one. */
const TOLD_MAX = 200;

export interface ReplayPolicies {
  /** The revision that decided the record; undefined if it is not known any more. */
  own(record: DecisionRecord): Policy | undefined;
  /** What would have decided it instead; undefined: the record is not the candidate's business. */
  candidate(record: DecisionRecord): Policy | undefined;
}

/** A record that another policy, or against all rules the same one, decides in another way. */
export interface ReplayedRecord extends ReplayedDecision {
  readonly recorded: RecordedVerdict;
  readonly replayed: RecordedVerdict;
  /** By the record's own revision; absent if that is not known. */
  readonly before?: Explanation | undefined;
  readonly after?: Explanation | undefined;
}

export type ReplayReport = Report<ReplayedRecord>;

export function replay(entries: Iterable<RequestRecord>, policies: ReplayPolicies): ReplayReport {
  const run = new Replay(policies);
  for (const entry of entries) run.take(entry);
  return run.report();
}

/** The same, entry by entry, for those who may not block. */
export class Replay {
  readonly #policies: ReplayPolicies;
  readonly #means = new Means();
  readonly #before = new Map<string, number>();
  readonly #after = new Map<string, number>();
  readonly #mismatches: ReplayedRecord[] = [];
  readonly #changes: ReplayedRecord[] = [];
  #records = 0;
  #tested = 0;
  #mismatch = 0;
  #changed = 0;
  #rejectedBefore = 0;
  #rejectedAfter = 0;

  constructor(policies: ReplayPolicies) {
    this.#policies = policies;
  }

  take(entry: RequestRecord): void {
    switch (entry.type) {
      case 'decision':
        return this.#decided(entry);
      case 'outcome':
        return this.#means.ended(entry);
      case 'usage':
        return undefined;
      case 'attempt':
        // It follows from the policy's list and no draw: another policy may not even have made the attempt before it.
        return undefined;
    }
  }

  report(): ReplayReport {
    const records = this.#records;
    const names = [...new Set([...this.#before.keys(), ...this.#after.keys()])].toSorted();
    const share = (count = 0): number => (records === 0 ? 0 : count / records);
    return {
      records,
      tested: this.#tested,
      mismatch: this.#mismatch,
      same: records - this.#changed,
      changed: this.#changed,
      rejected: { before: this.#rejectedBefore, after: this.#rejectedAfter },
      shares: names.map((name) => ({
        provider_id: name,
        before: share(this.#before.get(name)),
        after: share(this.#after.get(name)),
      })),
      expected_latency_ms: this.#means.latencyMs(this.#before, this.#after),
      expected_cost_micro_usd: this.#means.costMicroUsd(this.#before, this.#after),
      first_mismatches: this.#mismatches,
      first_changes: this.#changes,
    };
  }

  #decided(record: DecisionRecord): void {
    const candidate = this.#policies.candidate(record);
    if (candidate === undefined) return;
    const own = this.#policies.own(record);
    const { verdict: recorded } = record;
    this.#records++;
    this.#means.decided(record);
    if (own !== undefined) this.#test(own, record);
    const replayed = verdictOf(again(candidate, record, false));
    if (recorded.kind === 'none') this.#rejectedBefore++;
    else count(this.#before, recorded.provider_id);
    if (replayed.kind === 'none') this.#rejectedAfter++;
    else count(this.#after, replayed.provider_id);
    if (goAlike(recorded, replayed)) return;
    this.#changed++;
    if (this.#changes.length < TOLD_MAX) this.#changes.push(told(record, replayed, own, candidate));
  }

  /** The self test: anything but the recorded verdict is a defect. */
  #test(own: Policy, record: DecisionRecord): void {
    this.#tested++;
    const replayed = verdictOf(again(own, record, false));
    if (areEqual(record.verdict, replayed)) return;
    this.#mismatch++;
    if (this.#mismatches.length < TOLD_MAX) this.#mismatches.push(told(record, replayed, own, own));
  }
}

const again = (policy: Policy, record: DecisionRecord, explain: boolean): Verdict =>
  decide(policy, record.facts, snapshotOf(record), explain);

const told = (
  record: DecisionRecord,
  replayed: RecordedVerdict,
  own: Policy | undefined,
  other: Policy,
): ReplayedRecord => ({
  time_ms: record.time_ms,
  seed: record.seed,
  attempt: record.attempt,
  recorded: record.verdict,
  replayed,
  before: own === undefined ? undefined : again(own, record, true).explanation,
  after: again(other, record, true).explanation,
});

const count = (counts: Map<string, number>, name: string): void => void counts.set(name, (counts.get(name) ?? 0) + 1);

/** The request goes to the same provider and model, or is refused with the same code. */
function goAlike(one: RecordedVerdict, other: RecordedVerdict): boolean {
  if (one.kind === 'none') return other.kind === 'none' && one.code === other.code;
  return other.kind === 'chosen' && one.provider_id === other.provider_id && one.model === other.model;
}

/** Members stand in the order of `verdictOf`, also after a record was read from a file. */
const areEqual = (one: RecordedVerdict, other: RecordedVerdict): boolean =>
  JSON.stringify(one) === JSON.stringify(other);
