// The attempts of jobs that a canary got and that are out, so that their ends count for it as those of requests do.
// Losing one costs a sample: a router that dies judges by what it has seen since.
import type { AttemptOutcome } from '../../contracts/outcome.ts';
import { Recent } from '../../core/recent.ts';
import type { Policy } from '../../policy/policy.ts';
import type { LiveState } from '../live-state.ts';

const OUT_MAX = 10_000;

interface Out {
  readonly attempt: number;
  readonly policy: Policy;
}

export class JobCanaries {
  readonly #live: Pick<LiveState, 'canaryEnded'>;
  /** By assignment: one attempt of a job is out at a time. */
  readonly #out = new Recent<Out>(OUT_MAX);

  constructor(live: Pick<LiveState, 'canaryEnded'>) {
    this.#live = live;
  }

  sent(assignmentId: string, out: Out): void {
    if (out.policy.canary?.abortOn !== undefined) this.#out.set(assignmentId, out);
  }

  heard(outcome: AttemptOutcome): void {
    const { assignment_id: assignmentId, state } = outcome;
    if (state === 'committed') return;
    const out = this.#out.get(assignmentId);
    if (out === undefined || out.attempt !== outcome.attempt) return;
    this.#out.delete(assignmentId);
    this.#live.canaryEnded(out.policy, outcome);
  }
}
