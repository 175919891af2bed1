// Usage and prices over HTTP (gateway 14.4): sums, rows, runs, the active price book. From the ledger, never from counters.
import {
  type LedgerResults,
  type PriceRecord,
  USAGE_GROUPS,
  USAGE_INTERVALS,
  type UsageData,
  type UsageRecord,
} from '../../contracts/ledger-operations.ts';
import { csvCell } from '../../core/csv-cell.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { Call } from '../call.ts';
import type { AskLedger } from '../ledger-client.ts';
import type { JsonSchema, Route } from '../route.ts';
import { invalidField } from './policies-request.ts';
import { choiceOf, choicesOf, periodOf, type Query, queryOf } from './usage-query.ts';

interface UsageNeeds {
  readonly askLedger: AskLedger;
}

const ERRORS: readonly ErrorCode[] = ['invalid_reply', 'timeout'];
const STATUSES = ['success', 'error', 'timeout', 'cancelled'] as const;
const ID = /^[\x21-\x7e]{1,128}$/;
const LIMIT = 50;
const LIMIT_MAX = 200;

const integer = { type: 'integer' };
const text = { type: 'string' };
const maybeText = { type: ['string', 'null'] };
const moment = { type: 'string', format: 'date-time' };
const totalsSchema = {
  attempts: integer,
  input_tokens: integer,
  cached_input_tokens: integer,
  cache_write_tokens: integer,
  output_tokens: integer,
  reasoning_tokens: integer,
  cost_micro_usd: integer,
  estimated_attempts: integer,
  unpriced_attempts: integer,
};
const objectOf = (properties: JsonSchema, required: readonly string[] = Object.keys(properties)): JsonSchema => ({
  type: 'object',
  required,
  properties,
});
const listOf = (properties: JsonSchema): JsonSchema =>
  objectOf({
    data: { type: 'array', items: objectOf(properties) },
    pagination: objectOf({ limit: integer, next_cursor: maybeText, has_more: { type: 'boolean' } }),
  });

const iso = (epochMs: number): string => new Date(epochMs).toISOString();

const sums: Route<UsageNeeds> = {
  method: 'GET',
  path: '/api/v1/usage',
  release: 'P1',
  access: 'usage:read',
  summary: `Sum usage and cost of a period: since, until, interval (${USAGE_INTERVALS.join(', ')}), group_by (up to three of ${USAGE_GROUPS.join(', ')}), format (json, csv).`,
  response: objectOf({
    period: objectOf({ since: moment, until: moment }),
    currency: { const: 'USD' },
    price_version: text,
    totals: objectOf(totalsSchema),
    data: { type: 'array', items: objectOf({ group: { type: 'object' }, ...totalsSchema }) },
  }),
  errors: ERRORS,
  async handle(call, { askLedger }) {
    const query = queryOf(call, ['since', 'until', 'interval', 'group_by', 'format']);
    const interval = choiceOf(query, 'interval', USAGE_INTERVALS);
    const groups = choicesOf(query, 'group_by', { choices: USAGE_GROUPS, countMax: 3 });
    const format = choiceOf(query, 'format', ['json', 'csv'] as const);
    const usage = await askLedger(
      'usage',
      {
        ...periodOf(query, epochMs(call)),
        ...(interval === undefined ? {} : { interval }),
        ...(groups.length === 0 ? {} : { group_by: [...groups] }),
      },
      call,
    );
    if (format === 'csv') return call.send(200, ['content-type', 'text/csv; charset=utf-8'], csvOf(usage, groups));
    const { since, until } = usage.period;
    call.json(200, { ...usage, period: { since: iso(since), until: iso(until) }, data: usage.data.map(withMoment) });
  },
};

const epochMs = (call: Call): number => call.edge.timers.clock.epochMs();

const withMoment = ({ start, ...data }: UsageData): object =>
  start === undefined ? data : { start: iso(start), ...data };

type Cells = readonly (string | number | null)[];

/** A line for each group and interval; one of the totals where nothing was grouped. */
function csvOf({ data, totals }: LedgerResults['usage'], groups: readonly (keyof UsageData['group'])[]): string {
  const names = Object.keys(totals) as (keyof typeof totals)[];
  const rows: readonly UsageData[] = data.length === 0 && groups.length === 0 ? [{ ...totals, group: {} }] : data;
  const hasStart = rows.some(({ start }) => start !== undefined);
  const cellsOf = (row: UsageData): Cells => [
    ...(hasStart ? [iso(row.start ?? 0)] : []),
    ...groups.map((group) => row.group[group] ?? null),
    ...names.map((name) => row[name]),
  ];
  return [[...(hasStart ? ['start'] : []), ...groups, ...names], ...rows.map(cellsOf)]
    .map((cells) => `${cells.map(csvCell).join(',')}\r\n`)
    .join('');
}

const FILTERS = ['provider', 'model', 'policy', 'key', 'user', 'request_id', 'run_id'] as const;

const events: Route<UsageNeeds> = {
  method: 'GET',
  path: '/api/v1/usage/events',
  release: 'P1',
  access: 'usage:read',
  summary: `List usage by attempt, the newest first: since, until, limit, cursor, status, ${FILTERS.join(', ')}.`,
  response: listOf({
    usage_id: text,
    occurred_at: moment,
    assignment_id: text,
    attempt: integer,
    provider: text,
    model: maybeText,
    status: text,
    cost_micro_usd: integer,
    estimated: { type: 'boolean' },
    adjusts: maybeText,
  }),
  errors: ERRORS,
  async handle(call, { askLedger }) {
    const query = queryOf(call, ['since', 'until', 'limit', 'cursor', 'status', ...FILTERS]);
    const limit = limitOf(query);
    const status = choiceOf(query, 'status', STATUSES);
    const cursor = query.get('cursor');
    const page = await askLedger(
      'usage_events',
      {
        ...periodOf(query, epochMs(call)),
        ...filtersOf(query),
        limit,
        ...(status === undefined ? {} : { status }),
        ...(cursor === undefined ? {} : { cursor }),
      },
      call,
    );
    const { next_cursor: next = null } = page;
    call.json(200, {
      data: page.events.map(rendered),
      pagination: { limit, next_cursor: next, has_more: next !== null },
    });
  },
};

const rendered = ({ occurred_at: atMs, ...row }: UsageRecord): object => ({ ...row, occurred_at: iso(atMs) });

function limitOf(query: Query): number {
  const given = query.get('limit');
  const limit = given === undefined ? LIMIT : /^\d{1,3}$/.test(given) ? Number(given) : 0;
  if (limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw invalidField('limit', `must be an integer from 1 to ${LIMIT_MAX}`);
}

function filtersOf(query: Query): Partial<Record<(typeof FILTERS)[number], string>> {
  const filters: Partial<Record<(typeof FILTERS)[number], string>> = {};
  for (const name of FILTERS) {
    const value = query.get(name);
    if (value === undefined) continue;
    const isFree = name === 'user' || name === 'model';
    if (isFree ? value.length > 256 : !ID.test(value)) throw invalidField(name, 'must be an id');
    filters[name] = value;
  }
  return filters;
}

const run: Route<UsageNeeds> = {
  method: 'GET',
  path: '/api/v1/usage/runs/:run',
  release: 'P1',
  access: 'usage:read',
  summary: 'Sum the cost of one run, or of one request that belongs to none; partial while more may come.',
  response: objectOf({ run_id: text, partial: { type: 'boolean' }, steps: { type: 'array' }, ...totalsSchema }),
  errors: [...ERRORS, 'not_found'],
  async handle(call, { askLedger }, { run: runId = '' }) {
    queryOf(call, []);
    if (!ID.test(runId)) throw invalidField('run', 'must be the id of a run');
    const { first_at, last_at, ...account } = await askLedger('usage_run', { run_id: runId }, call);
    call.json(200, { ...account, first_at: iso(first_at), last_at: iso(last_at) });
  },
};

const prices: Route<UsageNeeds> = {
  method: 'GET',
  path: '/api/v1/prices',
  release: 'P1',
  access: 'usage:read',
  summary: 'Show the active price book: micro-USD per million tokens, per request, per millisecond and per GiB.',
  response: objectOf({
    version: text,
    revision: integer,
    currency: { const: 'USD' },
    lines: { type: 'array', items: objectOf({ provider: text, model: text, effective_from: moment, version: text }) },
  }),
  errors: ERRORS,
  async handle(call, { askLedger }) {
    queryOf(call, []);
    const { lines, ...book } = await askLedger('prices', {}, call);
    call.json(200, {
      ...book,
      lines: lines.map(priced),
    });
  },
};

const priced = ({ effective_from: from, ...line }: PriceRecord): object => ({ ...line, effective_from: iso(from) });

export const usageRoutes: readonly Route<UsageNeeds>[] = [sums, events, run, prices];
