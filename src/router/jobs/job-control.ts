// Serves what the gateway asks of jobs that exist. A job of another tenant is not there, whoever asks.
import type { Bus } from '../../bus/bus.ts';
import { at } from '../../contracts/contract.ts';
import { contextOf } from '../../contracts/failure.ts';
import { assignmentIdOf, isTerminal } from '../../contracts/job.ts';
import {
  JOB_OPERATIONS,
  type JobCommand,
  jobControl,
  type JobOperation,
  type JobReply,
} from '../../contracts/job-control.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Timers } from '../../core/timers.ts';
import type { Approvals } from './approvals.ts';
import type { Endings } from './endings.ts';
import { annotated, begun } from './job-state.ts';
import type { JobRoom } from './job-room.ts';
import type { JobRef, JobStore } from './job-store.ts';
import type { Keeper } from './keeper.ts';

export interface JobControlDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly store: JobStore;
  readonly approvals: Approvals;
  readonly endings: Endings;
  readonly keeper: Keeper;
  readonly room: Pick<JobRoom, 'assert'>;
}

interface Done {
  readonly status: string;
  /** False where the job already was what was asked for. */
  readonly changed: boolean;
}

type Operate = (ref: JobRef, command: JobCommand, deps: JobControlDeps) => Promise<Done>;

const OPERATIONS: Readonly<Record<JobOperation, Operate>> = {
  cancel: async (ref, _, { endings }) => {
    const changed = await endings.cancel(ref);
    if (changed?.state === undefined) throw absent();
    const { status } = changed.state;
    if (isTerminal(status) && status !== 'cancelled') throw ended(status);
    return { status, changed: changed.isChanged };
  },

  annotate: async (ref, { metadata, tags }, { store, timers, room }) => {
    // Each change stays beside those before it.
    await room.assert();
    const news = { ...(metadata === undefined ? {} : { metadata }), ...(tags === undefined ? {} : { tags }) };
    const changed = await store.change(ref, ({ request, state = begun(request) }) =>
      annotated(state, news, timers.clock.epochMs()),
    );
    if (changed?.state === undefined) throw absent();
    return { status: changed.state.status, changed: true };
  },

  delete: async (ref, _, { store, keeper }) => {
    const found = await store.read(ref);
    if (found === undefined) throw absent();
    const status = found.state?.status ?? 'queued';
    if (!isTerminal(status))
      throw new BeamlineError('conflict', 'only a job that has ended can be deleted', of(status));
    await store.delete(ref);
    keeper.forget(ref);
    return { status, changed: true };
  },

  approve: async (ref, { principal, option, comment }, { store, approvals, keeper, timers }) => {
    const found = await store.read(ref);
    if (found === undefined) throw absent();
    const { asked, isChanged } = await approvals.vote(ref, {
      principal,
      option,
      comment,
      requesterUser: found.request.request.principal?.user_id,
      nowMs: timers.clock.epochMs(),
    });
    if (asked.status === 'decided') keeper.look(ref);
    return { status: found.state?.status ?? 'queued', changed: isChanged };
  },
};

export function serveJobControl(deps: JobControlDeps): AsyncDisposable {
  const served = new AsyncDisposableStack();
  for (const op of JOB_OPERATIONS) {
    const operate = async (command: JobCommand): Promise<JobReply> => {
      const { tenant_id: tenantId, job_id } = command;
      const done = await OPERATIONS[op]({ tenantId, assignmentId: assignmentIdOf(tenantId, job_id) }, command, deps);
      return { version: '2', ok: true, ...done, context: contextOf(command) };
    };
    served.use(deps.bus.serve(at(jobControl, { op }), { queue: 'router' }, operate));
  }
  return served;
}

const absent = (): BeamlineError => new BeamlineError('not_found', 'the tenant has no such job');
const of = (status: string) => ({ details: { status } });
const ended = (status: string): BeamlineError => new BeamlineError('conflict', 'the job has ended', of(status));
