// Replays of dead letters (gateway 14.5, contracts 7): one, or those that a filter leaves, after a dry run if wished.
// A filter never means a letter that was replayed before, so that a call which is repeated sends only what is left.
import type { LetterLine } from '../../bus/letter-box.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Call } from '../call.ts';
import { type Body, integerIn, objectIn, shortTextIn } from '../jobs/job-fields.ts';
import type { Outcome } from '../letter-desk.ts';
import { readJson } from '../read-body.ts';
import type { JsonSchema, Route } from '../route.ts';
import { cursorOf, filterSchema, letterFilterOf, placeOf } from './dead-letter-view.ts';
import type { LetterNeeds } from './dead-letters.ts';
import { placeToScan, queryOf } from './jobs.ts';
import { invalidField } from './policies-request.ts';

/** Two seconds at the pace of replays. */
const BULK_MAX = 100;

const text = { type: 'string' };
const resultSchema: JsonSchema = {
  type: 'object',
  required: ['id', 'message_id', 'subject', 'outcome'],
  properties: {
    id: { ...text, description: 'Where the letter is found from now on.' },
    message_id: text,
    subject: text,
    outcome: { enum: ['replayed', 'would_replay', 'refused', 'untried'] },
    replays: { type: 'integer', description: 'Of the letter, this one included; three at most.' },
    reason: { ...text, description: 'Why it was refused, or the code of what ended the call before it.' },
  },
};
const bulkFields = {
  filter: filterSchema,
  limit: { type: 'integer', minimum: 1, maximum: BULK_MAX, default: BULK_MAX },
  cursor: text,
  dry_run: { type: 'boolean', default: false },
  force: { type: 'boolean', default: false, description: 'Also what was given up for good.' },
};

function resultOf({ seq, msg_id, original_subject: subject }: LetterLine, outcome: Outcome) {
  const told = { id: String(seq), message_id: msg_id, subject };
  switch (outcome.kind) {
    case 'replayed':
      return { ...told, id: String(outcome.letter_seq), outcome: outcome.kind, replays: outcome.count };
    case 'refused':
      return { ...told, outcome: outcome.kind, reason: outcome.why };
    case 'untried':
      return { ...told, outcome: outcome.kind, reason: outcome.code };
  }
}

function note(call: Call, { original_subject: source }: LetterLine, outcome: Outcome): void {
  call.edge.log.info('letter_replay', {
    request_id: call.requestId,
    tenant_id: call.tenantId,
    key_id: call.principal?.keyId,
    source,
    state: outcome.kind,
    count: outcome.kind === 'replayed' ? outcome.count : undefined,
  });
}

const one: Route<LetterNeeds> = {
  method: 'POST',
  path: '/api/v1/dlq/:id/replay',
  release: 'P1',
  access: 'dlq:replay',
  summary:
    'Send a dead letter again to where it came from; with the query force=true also one that was given up for good.',
  response: resultSchema,
  errors: ['not_found', 'conflict', 'service_overloaded'],
  async handle(call, { letters }, { id = '' }) {
    const { force } = queryOf(call);
    if (force !== undefined && force !== 'true' && force !== 'false')
      throw invalidField('force', 'must be true or false');
    const { line } = await letters.find(call.tenantId, id);
    const [outcome] = await letters.replay([line], force === 'true');
    if (outcome === undefined) throw new Error('a replay without an outcome');
    note(call, line, outcome);
    if (outcome.kind === 'refused') throw new BeamlineError('conflict', `The letter is not replayed: ${outcome.why}.`);
    call.json(200, resultOf(line, outcome));
  },
};

const many: Route<LetterNeeds> = {
  method: 'POST',
  path: '/api/v1/dlq/replay',
  release: 'P1',
  access: 'dlq:replay',
  summary:
    'Send again the dead letters that a filter leaves and that were never replayed, or tell which; the newest 100 at most, the oldest of them first.',
  request: { type: 'object', required: ['filter'], properties: bulkFields, additionalProperties: false },
  response: {
    type: 'object',
    required: ['dry_run', 'data', 'pagination'],
    properties: {
      dry_run: { type: 'boolean' },
      data: { type: 'array', items: resultSchema },
      pagination: { type: 'object' },
    },
  },
  errors: ['service_overloaded'],
  async handle(call, { letters, jobs, bodyLimits }) {
    const { value: body } = await readJson(call, bodyLimits.native);
    const { isDry, isForced, limit, ...wanted } = readBulk(body);
    using place = placeToScan(jobs, call.tenantId);
    void place;
    const { letters: found, below } = await letters.page(call.tenantId, { ...wanted, limit });
    const lines = found.toReversed();
    const data: unknown[] = [];
    if (isDry) {
      for (const line of lines) {
        // eslint-disable-next-line no-await-in-loop -- a hundred readings, one after the other
        const why = await letters.whyNot(line, isForced);
        const told = { id: String(line.seq), message_id: line.msg_id, subject: line.original_subject };
        data.push(
          why === undefined ? { ...told, outcome: 'would_replay' } : { ...told, outcome: 'refused', reason: why },
        );
      }
    } else if (lines.length > 0) {
      const outcomes = await letters.replay(lines, isForced);
      for (const [at, line] of lines.entries()) {
        const outcome = outcomes[at];
        if (outcome === undefined) continue;
        note(call, line, outcome);
        data.push(resultOf(line, outcome));
      }
    }
    const pagination = { limit, next_cursor: cursorOf(below), has_more: below !== undefined };
    call.json(200, { dry_run: isDry, data, pagination });
  },
};

/** What is misspelt is refused: a lost filter or dry run would send more than was meant. */
function readBulk(body: Body) {
  refuseOthers(body, bulkFields, '');
  const filter = objectIn(body, 'filter');
  if (filter === undefined) throw invalidField('filter', 'is required; {} leaves all');
  refuseOthers(filter, filterSchema['properties'] as object, 'filter.');
  return {
    filter: { ...letterFilterOf(filter), isUntouched: true },
    limit: integerIn(body, 'limit', 1, BULK_MAX) ?? BULK_MAX,
    below: placeOf(shortTextIn(body, 'cursor', 16)),
    isDry: flagIn(body, 'dry_run'),
    isForced: flagIn(body, 'force'),
  };
}

function refuseOthers(members: Body, known: object, path: string): void {
  const alien = Object.keys(members).find((name) => !Object.hasOwn(known, name));
  if (alien !== undefined) throw invalidField(`${path}${alien.slice(0, 64)}`, 'is no field of a replay');
}

function flagIn(body: Body, name: string): boolean {
  const value = body[name];
  if (value === undefined || typeof value === 'boolean') return value === true;
  throw invalidField(name, 'must be true or false');
}

export const deadLetterReplayRoutes: readonly Route<LetterNeeds>[] = [one, many];
