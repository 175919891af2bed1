// Which recorded decisions a replay is about: a condition, as policies write theirs, over what each decision saw.
import { type DecisionRecord, snapshotOf } from './decision-record.ts';
import type { Findings } from './issue.ts';
import type { Policy } from './policy.ts';
import { scopeOf } from './scope-of.ts';
import { compileWhen } from './when.ts';

/** False also for a condition that cannot be evaluated over the record; `candidate` gives `time.*` its zone. */
export type RecordFilter = (record: DecisionRecord, candidate: Policy) => boolean;

export function recordFilter(when: unknown, findings: Findings): RecordFilter {
  const holds = compileWhen(when, '/filter', { findings, major: 2 });
  return (record, candidate) => {
    const snapshot = snapshotOf(record);
    return holds(scopeOf(candidate, record.facts, snapshot, snapshot));
  };
}
