// GET /api/v1/jobs/{id}/events: the course of a job as server-sent events (gateway 14.1, 15.3).
import { BeamlineError } from '../../core/errors.ts';
import type { Call } from '../call.ts';
import { seqOf } from '../jobs/follow-job.ts';
import { JobEventStream } from '../jobs/job-event-stream.ts';
import { hasEnded, requireJob } from '../jobs/job-records.ts';
import type { Route } from '../route.ts';
import type { JobNeeds, JobsBase } from './jobs.ts';

export const jobEventsIn = (base: JobsBase): Route<JobNeeds> => ({
  method: 'GET',
  path: `${base}/:id/events`,
  release: 'P1',
  access: 'job:read',
  summary:
    'Changes of the status of a job as server-sent events: `status` each, then `end` with the whole job. last-event-id is honoured; 204 when nothing follows it.',
  statuses: [200, 204],
  errors: ['not_found', 'service_overloaded'],
  async handle(call, { jobs, settings }, { id = '' }) {
    const lastSeq = lastEventId(call);
    const record = await requireJob(jobs.jobs, call.tenantId, id);
    if (call.isOver) return;
    if (hasEnded(record) && lastSeq !== undefined && lastSeq >= seqOf(record.state)) return call.send(204, [], '');
    if (call.req.method === 'HEAD') return call.send(200, ['content-type', 'text/event-stream; charset=utf-8'], '');
    if (jobs.leaving.aborted) throw new BeamlineError('draining', 'The server is shutting down.');
    const place = jobs.streams.take(call.tenantId);
    if (place === undefined) {
      throw new BeamlineError('service_overloaded', 'Too many event streams are open.', {
        details: { reason: 'stream_capacity' },
        retryAfterMs: 5_000,
      });
    }
    void new JobEventStream(
      call,
      { ...jobs, settings: settings.stream, draw: () => Math.random() },
      record,
      lastSeq,
      place,
    );
  },
});

function lastEventId(call: Call): number | undefined {
  const given = call.header('last-event-id');
  if (given === undefined || given === '') return undefined;
  if (/^\d{1,9}$/.test(given)) return Number(given);
  throw new BeamlineError('invalid_request', 'The header last-event-id is not legal.', {
    details: { reason: 'invalid_header', header: 'last-event-id' },
  });
}
