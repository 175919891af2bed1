// Reading what was decided while others decide: every step is short, and a few of them make one turn.
import type { RequestRecord } from '../policy/decision-record.ts';
import type { Policy } from '../policy/policy.ts';

export interface KeptRecord {
  readonly entry: RequestRecord;
  /** The revision that decided it; undefined for what is no decision, and where it is not known any more. */
  own(): Policy | undefined;
}

/** Milliseconds since the Unix epoch, the first and the last that count. */
export interface RecordSpan {
  readonly fromMs: number;
  readonly toMs: number;
}

/** The records of this router. What a step gives is valid until the next one; undefined is a step that found none. */
export interface KeptRecords {
  /** All that may be of the span, and others beside it, oldest first; one line is one step. */
  read(span: RecordSpan): Iterable<KeptRecord | undefined>;
  /** Those of a request, in the order in which they were written; a step looks through a bounded piece of what is kept. */
  find(tenantId: string, requestId: string): Iterable<KeptRecord | undefined>;
}

/** Takes steps until they end or `take` has enough (false); at most `stepsMax` of them in one turn of the loop. */
export async function inSlices<Step>(
  steps: Iterable<Step>,
  stepsMax: number,
  take: (step: Step) => boolean,
): Promise<void> {
  let taken = 0;
  for (const step of steps) {
    if (!take(step)) return;
    if (++taken % stepsMax === 0) {
      // eslint-disable-next-line no-await-in-loop -- that is the slice
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
  }
}

/** Whether a record is of the request. */
export const isOf = (entry: RequestRecord, tenantId: string, requestId: string): boolean =>
  entry.tenant_id === tenantId && (entry.type === 'decision' ? entry.facts.requestId : entry.request_id) === requestId;
