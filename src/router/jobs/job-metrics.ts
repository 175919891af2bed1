// What is counted of jobs.
import type { JobState } from '../../contracts/job.ts';
import { LONG_SECONDS } from '../../telemetry/metrics.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import type { Outstanding } from './outstanding.ts';

export type JobMetrics = ReturnType<typeof declareMetrics>;

export function declareMetrics({ metrics }: Telemetry, outstanding: Outstanding) {
  const total = metrics.counter({
    name: 'router_jobs_total',
    help: 'Jobs that were accepted, that were sent again, and that ended, by how.',
    labels: ['result'],
  });
  const seconds = metrics.histogram(
    { name: 'router_job_seconds', help: 'From the acceptance of a job to its end.', labels: ['result'] },
    LONG_SECONDS,
  );
  const open = metrics
    .gauge({ name: 'router_jobs_open', help: 'Jobs that have not ended, as this router knows.' })
    .of();
  metrics.beforeRender(() => open.set(outstanding.total));
  return {
    accepted: total.of('accepted'),
    duplicate: total.of('duplicate'),
    refused: total.of('queue_full'),
    full: total.of('jobs_full'),
    sentAgain: total.of('sent_again'),
    ended({ status, created_at_ms, updated_at_ms }: JobState): void {
      total.of(status).add();
      seconds.of(status).observe(Math.max(0, updated_at_ms - created_at_ms) / 1_000);
    },
  };
}
