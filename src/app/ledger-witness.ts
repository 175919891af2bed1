// What stands on the bus beside the ledger's rows: records of jobs with their attempts, and leases of budgets.
import type { Bus, Entry } from '../bus/bus.ts';
import { budgetBucket, budgetEntry } from '../contracts/budget.ts';
import { keyPattern } from '../contracts/bucket.ts';
import { jobBucket, jobState, type JobState } from '../contracts/job.ts';
import type { KnownAttempt, Period, Witness } from '../ledger/reconcile.ts';

/** A lease this long past its hold should have been settled (worker 14.4). */
const SETTLE_MS = 300_000;

/** Attempts of jobs; those that ended in the period and cost something must have a row. */
export async function jobWitness(bus: Bus, period: Period): Promise<Witness> {
  const bucket = await bus.openBucket(jobBucket);
  // Of each state only its attempts stay in memory; one that is written meanwhile comes again.
  const byJob = new Map<string, readonly KnownAttempt[]>();
  for await (const { value } of bucket.scan(keyPattern(undefined, undefined, 'state'))) {
    const [job] = readAs<JobState>(value, (parsed) => jobState.check(parsed));
    if (job !== undefined) byJob.set(job.assignment_id, attemptsOf(job, period));
  }
  return {
    attempts: [...byJob.values()].flat(),
    isComplete: ({ assignmentId }) => byJob.has(assignmentId),
  };
}

const attemptsOf = (
  { attempts, assignment_id: assignmentId, tenant_id: tenantId }: JobState,
  period: Period,
): KnownAttempt[] =>
  attempts.map(({ attempt, cost_micro_usd: costMicroUsd = 0, ended_at_ms: endedAtMs = 0, error }) => ({
    tenantId,
    assignmentId,
    attempt,
    isMetered: costMicroUsd > 0 && endedAtMs >= period.since && endedAtMs < period.until,
    // Of an attempt whose worker was lost a job knows only an estimate, and its row may know better.
    ...(costMicroUsd > 0 && error?.error_code !== 'WORKER_LOST' ? { costMicroUsd } : {}),
  }));

/** Keys of budget windows, each with the holder of a lease that nobody settled. */
export async function leasesPastHold(bus: Bus, nowMs: number): Promise<readonly string[]> {
  const bucket = await bus.openBucket(budgetBucket);
  return (await bucket.entries()).flatMap((entry) => pastHold(entry, nowMs));
}

function pastHold({ key, value }: Entry, nowMs: number): readonly string[] {
  const [entry] = readAs<{ leases: Readonly<Record<string, { readonly hold_until_ms: number }>> }>(value, (parsed) =>
    budgetEntry.check(parsed),
  );
  return Object.entries(entry?.leases ?? {}).flatMap(([holder, { hold_until_ms: untilMs }]) =>
    untilMs + SETTLE_MS < nowMs ? [`${key} ${holder}`] : [],
  );
}

/** One value, or none if the text is not what it should be. */
function readAs<T>(text: string, check: (value: unknown) => boolean): readonly T[] {
  try {
    const value: unknown = JSON.parse(text);
    return check(value) ? [value as T] : [];
  } catch {
    return [];
  }
}
