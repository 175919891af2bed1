// The attempts of jobs among those of a provider that run at a time (policy 2, `max_in_flight`): from before an attempt is sent
// until it has ended. A job that no provider has room for waits.
// F1. What runs already is counted over a restart, as places are (`job-places.ts`).
// F2. Its place is free before the policy is asked what follows: the same provider may have it again.
// F3. An attempt of which nobody tells the end is let go when its job moves on, or is not open any more.
import { LiveMap } from '../../core/live-map.ts';
import type { Policy } from '../../policy/policy.ts';
import type { LiveState } from '../live-state.ts';
import { JobLines, type JobLinesDeps } from './job-lines.ts';
import type { Go } from './job-plan.ts';
import { attemptOut } from './job-state.ts';
import type { FoundJob } from './job-store.ts';
import { isRouted } from './job-target.ts';

interface Out {
  readonly assignmentId: string;
  readonly tenantId: string;
  readonly attempt: number;
  readonly provider: string;
}

export interface JobFlightsDeps extends JobLinesDeps {
  readonly live: Pick<LiveState, 'begin' | 'end' | 'hasRoom'>;
}

export class JobFlights implements Disposable {
  readonly #live: JobFlightsDeps['live'];
  readonly #lines: JobLines;
  /** By assignment: one attempt of a job is out at a time. */
  readonly #out = new LiveMap<Out>();

  constructor(deps: JobFlightsDeps) {
    this.#live = deps.live;
    this.#lines = new JobLines(deps);
  }

  /** Counts the attempt that is to be sent; false: its provider has as many as it may, and the job waits. */
  begin(found: FoundJob, { attempt: { attempt, target } }: Pick<Go, 'attempt'>): boolean {
    const { tenant_id: tenantId, assignment_id: assignmentId, request } = found.request;
    this.#end(assignmentId);
    if (!isRouted(request.task.type)) return true;
    if (!this.#live.hasRoom(tenantId, target)) {
      this.#lines.wait(found, lineOf(tenantId, target.name));
      return false;
    }
    this.#lines.leave(assignmentId);
    this.#add({ assignmentId, tenantId, attempt, provider: target.name });
    // There may be room for more.
    this.#wake(tenantId, target.name);
    return true;
  }

  /** Nobody can serve the job now; that may be for want of room. */
  wait(found: FoundJob, policy: Policy): void {
    if (isBounded(policy)) this.#lines.wait(found, found.request.tenant_id);
  }

  /** Counts an attempt that is out and that this router does not remember. */
  adopt({ request, state }: FoundJob): void {
    const out = state === undefined ? undefined : attemptOut(state);
    const { tenant_id: tenantId, assignment_id: assignmentId } = request;
    if (out === undefined || this.#out.has(assignmentId) || !isRouted(request.request.task.type)) return;
    this.#add({ assignmentId, tenantId, attempt: out.attempt, provider: out.provider_id });
  }

  /** The attempt has ended; one that is out already is a later one. */
  ended(assignmentId: string, attempt: number): void {
    if ((this.#out.get(assignmentId)?.attempt ?? Infinity) <= attempt) this.leave(assignmentId);
  }

  /** The attempt has ended, or was not sent. */
  leave(assignmentId: string): void {
    const out = this.#end(assignmentId);
    if (out !== undefined) this.#wake(out.tenantId, out.provider);
  }

  waitNoMore(assignmentId: string): void {
    this.#lines.leave(assignmentId);
  }

  keepOnly(open: ReadonlySet<string>): void {
    for (const { assignmentId: id } of this.#out.values()) if (!open.has(id)) this.leave(id);
    this.#lines.keepOnly(open);
  }

  [Symbol.dispose](): void {
    this.#lines[Symbol.dispose]();
    this.#out.clear();
  }

  /** Who waits for this provider, and who waits for any. */
  #wake(tenantId: string, provider: string): void {
    this.#lines.wake(lineOf(tenantId, provider));
    this.#lines.wake(tenantId);
  }

  #add(out: Out): void {
    this.#out.set(out.assignmentId, out);
    this.#live.begin(out.tenantId, out.provider);
  }

  #end(assignmentId: string): Out | undefined {
    const out = this.#out.get(assignmentId);
    if (out === undefined) return undefined;
    this.#out.delete(assignmentId);
    this.#live.end(out.tenantId, out.provider);
    return out;
  }
}

/** Whether a provider of the policy may have only so many. */
export const isBounded = ({ targets }: Policy): boolean => targets.some(({ maxInFlight }) => maxInFlight !== undefined);

/** Tenants have no spaces. */
const lineOf = (tenantId: string, provider: string): string => `${tenantId} ${provider}`;
