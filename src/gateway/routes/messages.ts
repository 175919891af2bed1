// /api/v1/messages: a permanent rewrite to /api/v1/jobs for clients with the message vocabulary (gateway 14.1).
import type { Route } from '../route.ts';
import { jobEventsIn } from './job-events.ts';
import { jobResultIn } from './job-result.ts';
import { type JobNeeds, jobRoutesIn } from './jobs.ts';
import { bulkDeleteMessages, jobActionRoutesIn } from './jobs-actions.ts';

const BASE = '/api/v1/messages';

export const messageRoutes: readonly Route<JobNeeds>[] = [
  ...jobRoutesIn(BASE),
  ...jobActionRoutesIn(BASE),
  bulkDeleteMessages,
  jobEventsIn(BASE),
  jobResultIn(BASE),
];
