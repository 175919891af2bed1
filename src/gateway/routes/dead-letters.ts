// Messages that were given up (gateway 14.5, contracts 7): a tenant's own are listed, shown without their words, discarded.
import { redactText } from '../../core/redact.ts';
import type { Call } from '../call.ts';
import { shortTextIn } from '../jobs/job-fields.ts';
import { type LetterDesk, noLetter } from '../letter-desk.ts';
import type { Route } from '../route.ts';
import {
  cursorOf,
  letterFilterOf,
  letterSchema,
  listedLetter,
  placeOf,
  shownLetter,
  shownLetterSchema,
} from './dead-letter-view.ts';
import { type JobNeeds, placeToScan, queryOf } from './jobs.ts';
import { invalidField, pageOf } from './policies-request.ts';

export interface LetterNeeds extends JobNeeds {
  readonly letters: LetterDesk;
}

const BASE = '/api/v1/dlq';
const REASON_CHARS_MAX = 256;

const nowOf = ({ edge }: Call): number => edge.timers.clock.epochMs();

const list: Route<LetterNeeds> = {
  method: 'GET',
  path: BASE,
  release: 'P1',
  access: 'dlq:read',
  summary:
    'List dead letters of the tenant, newest first. Filters: subject, class, code, since, until. A page may be short and yet have a next one.',
  response: {
    type: 'object',
    required: ['data', 'pagination'],
    properties: { data: { type: 'array', items: letterSchema }, pagination: { type: 'object' } },
  },
  errors: ['service_overloaded'],
  async handle(call, { letters, jobs }) {
    const { limit, cursor } = pageOf(call);
    const wanted = { limit, filter: letterFilterOf(queryOf(call)), below: placeOf(cursor) };
    using place = placeToScan(jobs, call.tenantId);
    void place;
    const { letters: found, below } = await letters.page(call.tenantId, wanted);
    const nowMs = nowOf(call);
    call.json(200, {
      data: found.map((line) => listedLetter(line, nowMs)),
      pagination: { limit, next_cursor: cursorOf(below), has_more: below !== undefined },
    });
  },
};

const show: Route<LetterNeeds> = {
  method: 'GET',
  path: `${BASE}/:id`,
  release: 'P1',
  access: 'dlq:read',
  summary: 'One dead letter, with its payload masked.',
  response: shownLetterSchema,
  errors: ['not_found'],
  async handle(call, { letters }, { id = '' }) {
    call.json(200, shownLetter(await letters.find(call.tenantId, id), nowOf(call)));
  },
};

const discard: Route<LetterNeeds> = {
  method: 'DELETE',
  path: `${BASE}/:id`,
  release: 'P1',
  access: 'dlq:replay',
  summary: 'Discard a dead letter for good. The query says why: reason, at most 256 characters, which the log keeps.',
  statuses: [204],
  errors: ['not_found'],
  async handle(call, { letters }, { id = '' }) {
    const reason = shortTextIn(queryOf(call), 'reason', REASON_CHARS_MAX);
    if (reason === undefined) throw invalidField('reason', 'is required in the query');
    const { line } = await letters.find(call.tenantId, id);
    if (!(await letters.discard(line))) throw noLetter();
    call.edge.log.info('letter_discarded', {
      request_id: call.requestId,
      tenant_id: call.tenantId,
      key_id: call.principal?.keyId,
      source: line.original_subject,
      reason: redactText(reason),
    });
    call.send(204, [], '');
  },
};

export const deadLetterRoutes: readonly Route<LetterNeeds>[] = [list, show, discard];
