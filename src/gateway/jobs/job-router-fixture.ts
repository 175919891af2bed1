// A router for tests of the gateway: it keeps the records of jobs by their contracts, and a test moves them by hand.
import { createHash } from 'node:crypto';
import type { Bus, KeyValue, Subscription } from '../../bus/bus.ts';
import { at, everyOf } from '../../contracts/contract.ts';
import { type DecideRequest, type DecideResponse, decideV2 } from '../../contracts/decide.ts';
import {
  assignmentIdOf,
  isTerminal,
  jobBucket,
  jobKey,
  type JobRequest,
  jobRequest,
  type JobState,
  type JobStatus,
  jobState,
} from '../../contracts/job.ts';
import { type JobCommand, jobControl, type JobReply } from '../../contracts/job-control.ts';
import type { Clock } from '../../core/clock.ts';
import { BeamlineError } from '../../core/errors.ts';

/** What becomes of a question: kept and answered; kept and not answered; not heard; or refused. */
export type RouterMood = 'keep' | 'keep_silently' | 'silent' | BeamlineError;

export interface JobRouter extends AsyncDisposable {
  readonly asked: DecideRequest[];
  readonly commands: (JobCommand & { readonly op: string })[];
  /** Used up one by one; `keep` when empty. */
  readonly moods: RouterMood[];
  /** What `approve` and others are refused with, if anything. */
  refuseControl: BeamlineError | undefined;
  /** Writes the next state of a job. */
  move(tenantId: string, jobId: string, status: JobStatus, more?: Partial<JobState>): Promise<JobState>;
}

export async function openJobRouter(bus: Bus, clock: Clock): Promise<JobRouter> {
  const bucket = await bus.openBucket(jobBucket);
  const served: Subscription[] = [];
  const held: (() => void)[] = [];
  const never = (): Promise<DecideResponse> =>
    new Promise((_, reject) => held.push(() => reject(new BeamlineError('draining', 'the test is over'))));
  const router: JobRouter = {
    asked: [],
    commands: [],
    moods: [],
    refuseControl: undefined,
    move: (tenantId, jobId, status, more = {}) => move(bucket, clock, { tenantId, jobId, status, more }),
    async [Symbol.asyncDispose]() {
      for (const release of held.splice(0)) release();
      await Promise.all(served.map((subscription) => subscription.drain()));
    },
  };
  served.push(
    bus.serve(at(decideV2), {}, async (request): Promise<DecideResponse> => {
      router.asked.push(request);
      const mood = router.moods.shift() ?? 'keep';
      if (mood instanceof BeamlineError) throw mood;
      if (mood === 'silent') return never();
      const reply = await keep(bucket, clock, request);
      return mood === 'keep' ? reply : never();
    }),
  );
  for (const op of ['cancel', 'annotate', 'delete', 'approve'] as const) {
    served.push(
      bus.serve(everyOf(jobControl, { op }), {}, async (command): Promise<JobReply> => {
        router.commands.push({ ...command, op });
        if (router.refuseControl !== undefined) throw router.refuseControl;
        return control(bucket, clock, op, command);
      }),
    );
  }
  return router;
}

async function keep(bucket: KeyValue, clock: Clock, request: DecideRequest): Promise<DecideResponse> {
  const { job, tenant_id } = request;
  if (job === undefined) throw new BeamlineError('invalid_request', 'not a job');
  const assignmentId = assignmentIdOf(tenant_id, request.idempotency_key ?? request.request_id);
  const digest = createHash('sha256')
    .update(JSON.stringify([request.task, request.policy_id ?? null]))
    .digest('hex');
  const entry = await bucket.get(jobKey(tenant_id, assignmentId, 'req'));
  const reply: DecideResponse = {
    version: '2',
    ok: true,
    decision: {
      provider_id: 'birch',
      reason: 'priority',
      priority: 50,
      policy_id: request.policy_id ?? 'default',
      policy_revision: 3,
      fallback_used: false,
    },
    assignment: {
      assignment_id: assignmentId,
      attempt: 1,
      subject: 'caf.exec.assign.v1',
      deadline_ms: request.deadline_ms ?? 0,
      durable: true,
    },
    context: { request_id: request.request_id, tenant_id },
  };
  if (entry !== undefined) {
    const before = JSON.parse(entry.value) as JobRequest;
    if (before.digest !== digest) throw new BeamlineError('idempotency_conflict', 'the key stands for another body');
    return { ...reply, duplicate: true };
  }
  const nowMs = clock.epochMs();
  await bucket.put(jobKey(tenant_id, assignmentId, 'open'), JSON.stringify({ at_ms: nowMs }));
  const record: JobRequest = {
    version: '2',
    job_id: job.id,
    assignment_id: assignmentId,
    tenant_id,
    request,
    digest,
    router_id: 'router-1',
    created_at_ms: nowMs,
    expires_at_ms: job.expires_at_ms,
  };
  if (!jobRequest.check(record)) throw new Error(jobRequest.fault(record));
  await bucket.update(jobKey(tenant_id, assignmentId, 'req'), JSON.stringify(record), 0);
  return reply;
}

async function control(bucket: KeyValue, clock: Clock, op: string, command: JobCommand): Promise<JobReply> {
  const { tenant_id: tenantId, job_id: jobId, request_id } = command;
  const assignmentId = assignmentIdOf(tenantId, jobId);
  const key = jobKey(tenantId, assignmentId, 'state');
  const entry = await bucket.get(key);
  const state = entry === undefined ? undefined : (JSON.parse(entry.value) as JobState);
  const reply = (status: string, changed: boolean): JobReply => ({
    version: '2',
    ok: true,
    status,
    changed,
    context: { request_id },
  });
  if (op === 'cancel') {
    if (state !== undefined && isTerminal(state.status)) return reply(state.status, false);
    if (state?.status === 'running') return reply('running', true);
    return reply((await move(bucket, clock, { tenantId, jobId, status: 'cancelled', more: {} })).status, true);
  }
  if (op === 'annotate') {
    const { metadata, tags } = command;
    await move(bucket, clock, {
      tenantId,
      jobId,
      status: state?.status ?? 'queued',
      more: { ...(metadata === undefined ? {} : { metadata }), ...(tags === undefined ? {} : { tags }) },
    });
    return reply(state?.status ?? 'queued', true);
  }
  if (op === 'delete') {
    const parts = ['req', 'state', 'open'] as const;
    await Promise.all(parts.map((part) => bucket.delete(jobKey(tenantId, assignmentId, part))));
  }
  return reply(state?.status ?? 'queued', true);
}

interface Move {
  readonly tenantId: string;
  readonly jobId: string;
  readonly status: JobStatus;
  readonly more: Partial<JobState>;
}

async function move(bucket: KeyValue, clock: Clock, { tenantId, jobId, status, more }: Move): Promise<JobState> {
  const assignmentId = assignmentIdOf(tenantId, jobId);
  const key = jobKey(tenantId, assignmentId, 'state');
  const nowMs = clock.epochMs();
  const [entry, accepted] = await Promise.all([bucket.get(key), bucket.get(jobKey(tenantId, assignmentId, 'req'))]);
  const before = entry === undefined ? undefined : (JSON.parse(entry.value) as JobState);
  const request = JSON.parse(accepted?.value ?? 'null') as JobRequest | null;
  const base: JobState = before ?? {
    version: '2',
    job_id: jobId,
    assignment_id: assignmentId,
    tenant_id: tenantId,
    status: 'queued',
    attempt: 0,
    attempts: [],
    cost_micro_usd: 0,
    transitions: [{ seq: 1, status: 'queued', at_ms: nowMs, attempt: 0 }],
    created_at_ms: request?.created_at_ms ?? nowMs,
    updated_at_ms: nowMs,
  };
  const { waiting_for: _, ...rest } = base;
  const seq = base.transitions.length + 1;
  const next: JobState = {
    ...rest,
    status,
    transitions:
      before?.status === status || (before === undefined && status === 'queued')
        ? base.transitions
        : [...base.transitions, { seq, status, at_ms: nowMs, attempt: base.attempt }],
    updated_at_ms: nowMs,
    ...(isTerminal(status) ? { ended_at_ms: nowMs } : {}),
    ...more,
  };
  if (!jobState.check(next)) throw new Error(jobState.fault(next));
  await bucket.update(key, JSON.stringify(next), entry?.revision ?? 0);
  if (isTerminal(status)) await bucket.delete(jobKey(tenantId, assignmentId, 'open'));
  return next;
}
