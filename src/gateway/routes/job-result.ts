// GET /api/v1/jobs/{id}/result: what a job made and nothing else, however large it is.
import { BeamlineError } from '../../core/errors.ts';
import { requireJob } from '../jobs/job-records.ts';
import { shownStatus } from '../jobs/job-view.ts';
import { foundResult, writeResult } from '../jobs/large-result.ts';
import type { Route } from '../route.ts';
import { type JobNeeds, type JobsBase, placeToScan } from './jobs.ts';

export const jobResultIn = (base: JobsBase): Route<JobNeeds> => ({
  method: 'GET',
  path: `${base}/:id/result`,
  release: 'P1',
  access: 'job:read',
  summary: 'The output of a completed job, alone. One above 256 KiB is kept for seven days.',
  response: { description: 'What the work made.' },
  errors: ['not_found', 'service_overloaded'],
  async handle(call, { jobs, settings }, { id = '' }) {
    const record = await requireJob(jobs.jobs, call.tenantId, id);
    const { state } = record;
    if (state?.status !== 'succeeded') {
      throw new BeamlineError('not_found', 'The job has no result.', { details: { status: shownStatus(state) } });
    }
    const found = await foundResult(jobs.blobs, record);
    if (found === undefined) return call.json(200, state.result?.output ?? null);
    using place = placeToScan(jobs, call.tenantId);
    void place;
    await writeResult(call, found, { stallMs: settings.stream.stall_ms });
  },
});
