// What the gateway needs for jobs: its view of their records, the ways to the router, and who may wait how long.
import type { Bus, KeyValue } from '../../bus/bus.ts';
import { approvalBucket } from '../../contracts/approval.ts';
import { jobBucket } from '../../contracts/job.ts';
import type { CrashPoints } from '../../core/crash-point.ts';
import type { Timers } from '../../core/timers.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import type { TenantFacts } from '../decide-client.ts';
import { budgetedJobs, type JobBudgets } from './budgeted-jobs.ts';
import type { FollowDeps } from './follow-job.ts';
import type { ResultBlobs } from './large-result.ts';
import { type ControlJob, controlOver } from './job-control-client.ts';
import { JobWatch } from './job-watch.ts';
import { type SubmitJob, submitOver } from './submit-job.ts';
import { WaitingPlaces } from './waiting-places.ts';
import { openWebhooks, type WebhookOptions, type Webhooks } from './webhooks.ts';

export interface JobSettings {
  /** Of a job whose caller names no deadline. */
  readonly deadline_ms: number;
  /** Open event streams, and as many callers who wait for an end. */
  readonly streams: { readonly per_tenant: number; readonly per_process: number };
}

export interface JobsDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly settings: JobSettings;
  readonly blobs: ResultBlobs;
  readonly decideTimeoutMs: number;
  /** Absent in production. */
  readonly crash?: CrashPoints | undefined;
  /** What the operator says of a tenant; policies read it. */
  readonly tenantOf: (tenantId: string) => TenantFacts | undefined;
  /** Absent: nobody is told of the end of a job. */
  readonly webhooks?: WebhookOptions | undefined;
  /** Absent: jobs reserve nothing. */
  readonly budgets?: JobBudgets;
}

export interface Jobs extends FollowDeps, AsyncDisposable {
  readonly settings: JobSettings;
  readonly tenantOf: JobsDeps['tenantOf'];
  readonly approvals: KeyValue;
  readonly blobs: ResultBlobs;
  readonly webhooks: Webhooks;
  readonly submit: SubmitJob;
  readonly control: ControlJob;
  readonly streams: WaitingPlaces;
  readonly waits: WaitingPlaces;
  /** Lists and exports, which read all states of a tenant. */
  readonly scans: WaitingPlaces;
  /** Aborted by `leave`. */
  readonly leaving: AbortSignal;
  /** Ends event streams and waits: the process begins to go. */
  leave(): void;
}

const SCANS = { perTenant: 4, perProcess: 16 };

export async function openJobs(deps: JobsDeps): Promise<Jobs> {
  const { bus, timers, telemetry, settings, decideTimeoutMs } = deps;
  const [jobs, approvals] = await Promise.all([bus.openBucket(jobBucket), bus.openBucket(approvalBucket)]);
  const limits = { perTenant: settings.streams.per_tenant, perProcess: settings.streams.per_process };
  const watch = new JobWatch({ jobs, timers, log: telemetry.log.for('gateway') });
  const webhooks = await openWebhooks({ bus, jobs, watch, timers, telemetry }, deps.webhooks);
  const straight = submitOver({ bus, jobs, timers, decideTimeoutMs, crash: deps.crash });
  const budgeted = deps.budgets && budgetedJobs({ ...deps.budgets, jobs, watch, timers }, straight);
  const leaving = new AbortController();
  const streams = new WaitingPlaces(limits);
  const open = telemetry.metrics.gauge({
    name: 'gateway_job_streams',
    help: 'Open event streams of jobs.',
    labels: [],
  });
  telemetry.metrics.beforeRender(() => open.of().set(streams.taken));
  return {
    settings,
    tenantOf: deps.tenantOf,
    jobs,
    approvals,
    blobs: deps.blobs,
    webhooks,
    timers,
    watch,
    submit: budgeted?.submit ?? straight,
    control: controlOver(bus),
    streams,
    waits: new WaitingPlaces(limits),
    scans: new WaitingPlaces(SCANS),
    leaving: leaving.signal,
    leave: () => leaving.abort(),
    async [Symbol.asyncDispose]() {
      leaving.abort();
      budgeted?.[Symbol.dispose]();
      await webhooks[Symbol.asyncDispose]();
      await watch[Symbol.asyncDispose]();
    },
  };
}
