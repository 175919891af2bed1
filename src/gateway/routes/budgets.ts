// Budgets and quotas of a tenant (gateway 7.2, 14.4): those of the configuration, which are only read here, and those that
// are made here.
import {
  type Budget,
  BUDGET_SCOPES,
  BUDGET_UNITS,
  BUDGET_WINDOWS,
  budget as contract,
} from '../../contracts/budget.ts';
import type { BudgetBook, BudgetChange, BudgetState } from '../budget-book.ts';
import { type Body, integerIn, shortTextIn } from '../jobs/job-fields.ts';
import { timeOf } from '../jobs/job-view.ts';
import { readJson } from '../read-body.ts';
import type { JsonSchema, Route } from '../route.ts';
import { type JobNeeds, placeToScan } from './jobs.ts';
import { invalidField, pageOf } from './policies-request.ts';

export interface BudgetNeeds extends JobNeeds {
  readonly budgets: BudgetBook;
}

const BASE = '/api/v1/budgets';
/** As in the configuration; no slash, so that those of policies are others. */
const ID = /^[A-Za-z0-9_-]{1,128}$/;
const SUBJECT_CHARS_MAX = 256;
const ACTIONS = ['block', 'warn'] as const;
const WARN_AT = 0.8;
/** Usage names no other tags, so another one would be counted by nothing. */
const TAG = /^[\x21-\x7e]{1,128}$/;

const text = { type: 'string' };
const count = { type: 'integer', minimum: 0 };
const CHANGEABLE = {
  limit: { ...count, description: 'How much of the unit may be spent in a window.' },
  action: { enum: [...ACTIONS] },
  warn_at: { type: 'number', minimum: 0, maximum: 1, description: 'Share of the limit at which a warning is logged.' },
};
const MADE = {
  id: { type: 'string', pattern: ID.source },
  scope: {
    enum: [...BUDGET_SCOPES],
    description: 'A tag is one of the order of a job, or one that a rule of the policy sets.',
  },
  subject: {
    type: 'string',
    minLength: 1,
    maxLength: SUBJECT_CHARS_MAX,
    description: 'Id of the key, user, policy or provider, or a tag; `*`, the default, gives each a budget of its own.',
  },
  unit: { enum: [...BUDGET_UNITS] },
  window: { enum: [...BUDGET_WINDOWS], description: 'Calendar window in UTC.' },
  ...CHANGEABLE,
};
const amounts = {
  spent: { ...count, description: 'As the ledger has folded it; of a `*` budget the sum.' },
  reserved: { ...count, description: 'Held for what runs, for what is not folded yet, and ahead of need.' },
  remaining: { ...count, description: 'Of a `*` budget the least of all.' },
};
const budgetSchema: JsonSchema = {
  type: 'object',
  required: ['id', 'tenant_id', 'scope', 'unit', 'limit', 'window', 'action', 'warn_at', 'source', 'resets_at'],
  properties: {
    ...MADE,
    tenant_id: text,
    source: { enum: ['api', 'configuration'] },
    ...amounts,
    resets_at: { type: ['string', 'null'], description: 'null for a window without an end.' },
    accounts: {
      type: 'array',
      description: 'Of a `*` budget those that used most, at most 200.',
      items: { type: 'object', properties: { subject: text, ...amounts } },
    },
  },
};

function shown({ budget, isConfigured, spent, reserved, remaining, resetsAtMs, accounts }: BudgetState) {
  const { id, tenant_id, scope, subject, unit, limit, window, action, warn_at } = budget;
  return {
    id,
    tenant_id,
    scope,
    ...(scope === 'tenant' ? {} : { subject }),
    unit,
    limit,
    window,
    action,
    warn_at,
    source: isConfigured ? 'configuration' : 'api',
    spent,
    reserved,
    remaining,
    resets_at: resetsAtMs === undefined ? null : timeOf(resetsAtMs),
    ...(accounts === undefined ? {} : { accounts }),
  };
}

/** Throws `invalid_request` with the path. */
function readBudget(body: Body, tenantId: string): Budget {
  refuseOthers(body, MADE, 'is no field of a budget');
  const id = shortTextIn(body, 'id', 128);
  if (id === undefined || !ID.test(id)) throw invalidField('id', 'must be 1 to 128 of A-Z, a-z, 0-9, _ and -');
  const scope = wordIn(body, 'scope', BUDGET_SCOPES) ?? 'tenant';
  const subject = shortTextIn(body, 'subject', SUBJECT_CHARS_MAX);
  if (scope === 'tenant' && subject !== undefined) throw invalidField('subject', 'must be absent for a tenant');
  if (scope === 'tag' && subject !== undefined && !TAG.test(subject)) {
    throw invalidField('subject', 'must be 1 to 128 of ASCII without spaces for a tag');
  }
  const { limit, action = 'block', warn_at = WARN_AT } = readChange(body);
  if (limit === undefined) throw invalidField('limit', 'is required');
  const made: Budget = {
    id,
    tenant_id: tenantId,
    scope,
    subject: scope === 'tenant' ? '-' : (subject ?? '*'),
    unit: wordIn(body, 'unit', BUDGET_UNITS) ?? 'micro_usd',
    limit,
    window: wordIn(body, 'window', BUDGET_WINDOWS) ?? 'month',
    action,
    warn_at,
  };
  if (!contract.check(made)) throw invalidField('subject', 'is too long');
  return made;
}

function readChange(body: Body): BudgetChange {
  const limit = integerIn(body, 'limit', 0, Number.MAX_SAFE_INTEGER);
  const action = wordIn(body, 'action', ACTIONS);
  const { warn_at: warnAt } = body;
  if (warnAt !== undefined && !(typeof warnAt === 'number' && warnAt >= 0 && warnAt <= 1)) {
    throw invalidField('warn_at', 'must be a number from 0 to 1');
  }
  return {
    ...(limit === undefined ? {} : { limit }),
    ...(action === undefined ? {} : { action }),
    ...(warnAt === undefined ? {} : { warn_at: warnAt }),
  };
}

function wordIn<W extends string>(body: Body, name: string, words: readonly W[]): W | undefined {
  const value = body[name];
  const found = words.find((word) => word === value);
  if (value === undefined || found !== undefined) return found;
  throw invalidField(name, `must be one of ${words.join(', ')}`);
}

function refuseOthers(body: Body, known: object, why: string): void {
  const alien = Object.keys(body).find((name) => !Object.hasOwn(known, name));
  if (alien !== undefined) throw invalidField(alien.slice(0, 64), why);
}

const list: Route<BudgetNeeds> = {
  method: 'GET',
  path: BASE,
  release: 'P1',
  access: 'budget:read',
  summary: 'The budgets of the tenant by id, with what is spent and reserved in the window of now.',
  response: {
    type: 'object',
    required: ['data', 'pagination'],
    properties: { data: { type: 'array', items: budgetSchema }, pagination: { type: 'object' } },
  },
  errors: [],
  async handle(call, { jobs, budgets }) {
    const { limit, cursor } = pageOf(call);
    using place = placeToScan(jobs, call.tenantId);
    void place;
    const after = budgets.of(call.tenantId).filter(({ id }) => cursor === undefined || id > cursor);
    const page = after.slice(0, limit);
    const hasMore = after.length > limit;
    const states = await Promise.all(page.map((budget) => budgets.state(budget)));
    const data = states.map((state) => shown({ ...state, accounts: undefined }));
    const pagination = { limit, next_cursor: hasMore ? (page.at(-1)?.id ?? null) : null, has_more: hasMore };
    call.json(200, { data, pagination });
  },
};

const read: Route<BudgetNeeds> = {
  method: 'GET',
  path: `${BASE}/:id`,
  release: 'P1',
  access: 'budget:read',
  summary: 'One budget, with what is spent and reserved in the window of now.',
  response: budgetSchema,
  errors: ['not_found'],
  async handle(call, { jobs, budgets }, { id = '' }) {
    using place = placeToScan(jobs, call.tenantId);
    void place;
    call.json(200, shown(await budgets.state(budgets.find(call.tenantId, id))));
  },
};

const create: Route<BudgetNeeds> = {
  method: 'POST',
  path: BASE,
  release: 'P1',
  access: 'budget:write',
  summary: 'Make a budget. It holds here at once, at other gateways and at routers a moment later.',
  request: { type: 'object', required: ['id', 'limit'], properties: MADE, additionalProperties: false },
  response: budgetSchema,
  statuses: [201],
  errors: ['conflict', 'capacity_exceeded'],
  async handle(call, { budgets, bodyLimits }) {
    const { value: body } = await readJson(call, bodyLimits.native);
    const made = readBudget(body, call.tenantId);
    await budgets.create(made);
    const headers = ['content-type', 'application/json', 'location', `${BASE}/${made.id}`];
    call.send(201, headers, JSON.stringify(shown(await budgets.state(made))));
  },
};

const change: Route<BudgetNeeds> = {
  method: 'PATCH',
  path: `${BASE}/:id`,
  release: 'P1',
  access: 'budget:write',
  summary: 'Change the limit, the action or the warning of a budget that was made here.',
  request: { type: 'object', minProperties: 1, properties: CHANGEABLE, additionalProperties: false },
  response: budgetSchema,
  errors: ['not_found', 'conflict'],
  async handle(call, { budgets, bodyLimits }, { id = '' }) {
    const { value: body } = await readJson(call, bodyLimits.native);
    refuseOthers(body, CHANGEABLE, 'cannot be changed: make another budget');
    const asked = readChange(body);
    if (Object.keys(asked).length === 0) throw invalidField('limit', 'or action or warn_at must be given');
    if (!ID.test(id)) budgets.find(call.tenantId, id);
    call.json(200, shown(await budgets.state(await budgets.change(call.tenantId, id, asked))));
  },
};

const remove: Route<BudgetNeeds> = {
  method: 'DELETE',
  path: `${BASE}/:id`,
  release: 'P1',
  access: 'budget:write',
  summary: 'Delete a budget that was made here, with all that is reserved in it.',
  statuses: [204],
  errors: ['not_found', 'conflict'],
  async handle(call, { budgets }, { id = '' }) {
    if (!ID.test(id)) budgets.find(call.tenantId, id);
    await budgets.remove(call.tenantId, id);
    call.send(204, [], '');
  },
};

export const budgetRoutes: readonly Route<BudgetNeeds>[] = [list, read, create, change, remove];
