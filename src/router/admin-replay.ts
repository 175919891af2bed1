// Decides what this router recorded again, by another policy, while it goes on deciding (policy 11.3).
// R1. A turn of the loop takes few records, a replay as long as a caller waits, and there is one replay at a time.
// R2. The report fits into a message: explanations that do not are left out, the numbers never.
import { MESSAGE_BYTES_MAX } from '../contracts/limits.ts';
import type { AdminParams, Replayed, ReplayedDecision } from '../contracts/admin-operations.ts';
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Findings } from '../policy/issue.ts';
import { type RecordFilter, recordFilter } from '../policy/record-filter.ts';
import { Replay, type ReplayedRecord, type ReplayReport } from '../policy/replay.ts';
import { candidateOf } from './admin-candidate.ts';
import type { PolicyAdmin } from './admin-policy-reads.ts';
import type { Operations } from './admin-principal.ts';
import { inSlices, type KeptRecord, type KeptRecords } from './kept-records.ts';

/** Each record is decided up to four times, twice with an explanation. */
const SLICE_MAX = 16;
const LIMIT = 5_000;
const SPAN_MS = 3_600_000;
/** Shorter than the patience of a gateway with administration. */
const TIME_MAX_MS = 7_000;
const EXPLAINED_BYTES_MAX = MESSAGE_BYTES_MAX / 2;
const BUSY_RETRY_MS = 1_000;

export interface ReplayDeps {
  readonly policies: PolicyAdmin;
  readonly routerId: string;
  readonly clock: Clock;
  /** Undefined: nothing is recorded. */
  readonly records: () => Promise<KeptRecords | undefined>;
}

export function replays(deps: ReplayDeps): Operations<'replay'> {
  let isBusy = false;
  return {
    async replay(params) {
      if (isBusy) {
        throw new BeamlineError('service_overloaded', 'another replay runs here', { retryAfterMs: BUSY_RETRY_MS });
      }
      isBusy = true;
      try {
        return await replayed(deps, params);
      } finally {
        isBusy = false;
      }
    },
  };
}

async function replayed(deps: ReplayDeps, params: AdminParams['replay']): Promise<Replayed> {
  const { policies, routerId, clock } = deps;
  const { tenant_id: tenantId, policy_id: policyId, policy: document, revision, limit = LIMIT } = params;
  const candidate = await candidateOf(policies, { tenantId, policyId, document, revision });
  const passes = filterOf(params.filter);
  const kept = await deps.records();
  if (kept === undefined) {
    throw new BeamlineError('unavailable', 'this router records no decisions', { details: { reason: 'no_records' } });
  }
  const span = spanOf(params, clock.epochMs());
  const untilMs = clock.nowMs() + TIME_MAX_MS;
  let current: KeptRecord | undefined;
  const run = new Replay({ own: () => current?.own(), candidate: () => candidate });
  let taken = 0;
  let lastMs: number | undefined;
  let isComplete = true;
  await inSlices(kept.read(span), SLICE_MAX, (step) => {
    isComplete = clock.nowMs() < untilMs;
    if (!isComplete || step === undefined) return isComplete;
    const { entry } = step;
    if (entry.tenant_id !== tenantId || entry.time_ms < span.fromMs || entry.time_ms > span.toMs) return true;
    if (entry.type === 'decision') {
      if (entry.policy_id !== policyId || !passes(entry, candidate)) return true;
      isComplete = taken++ < limit;
      if (!isComplete) return false;
      lastMs = entry.time_ms;
    }
    current = step;
    run.take(entry);
    return true;
  });
  const told = await fitting(run.report());
  return {
    router_id: routerId,
    ...told,
    is_complete: isComplete,
    ...(lastMs === undefined ? {} : { last_ms: lastMs }),
  };
}

/** Throws `invalid_request` for a span that ends before it begins. */
function spanOf({ from_ms, to_ms }: AdminParams['replay'], nowMs: number) {
  const toMs = to_ms ?? nowMs;
  const fromMs = from_ms ?? Math.max(0, toMs - SPAN_MS);
  if (fromMs <= toMs) return { fromMs, toMs };
  throw new BeamlineError('invalid_request', 'from_ms is after to_ms');
}

/** Throws `invalid_request` with what is wrong with the condition. */
function filterOf(filter: unknown): RecordFilter {
  if (filter === undefined) return () => true;
  const findings = new Findings();
  const passes = recordFilter(filter, findings);
  const fields = findings.errors.map(({ path, code, message }) => ({ path, code, message }));
  if (fields.length === 0) return passes;
  throw new BeamlineError('invalid_request', 'the filter is no condition', { details: { reason: 'schema', fields } });
}

type Told = Omit<Replayed, 'router_id' | 'is_complete' | 'last_ms'>;

async function fitting(report: ReplayReport): Promise<Told> {
  const { records, shares } = report;
  let left = EXPLAINED_BYTES_MAX;
  const firsts = async (all: readonly ReplayedRecord[]): Promise<readonly ReplayedDecision[]> => {
    const told: ReplayedDecision[] = [];
    await inSlices(all, SLICE_MAX, (one) => {
      left -= Buffer.byteLength(JSON.stringify([one.before, one.after]));
      const { before: _, after: __, ...bare } = one;
      told.push(left >= 0 ? one : bare);
      return true;
    });
    return told;
  };
  return {
    ...report,
    totals: shares.map(({ provider_id, before, after }) => ({
      provider_id,
      before: Math.round(before * records),
      after: Math.round(after * records),
    })),
    first_mismatches: await firsts(report.first_mismatches),
    first_changes: await firsts(report.first_changes),
  };
}
