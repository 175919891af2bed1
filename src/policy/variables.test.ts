import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CelMap } from './cel-value.ts';
import type { Facts, Live } from './facts.ts';
import type { Target } from './policy.ts';
import { type Known, Variables } from './variables.ts';
import { FIELDS } from './variables-fields.ts';

const ALDER: Target = {
  name: 'alder',
  weight: 12.5,
  priority: 3,
  model: 'medium-2b',
  serves: undefined,
  pool: 'lab',
  when: undefined,
  maxInFlight: undefined,
  labels: { region: 'eu', rank: 2 },
  enabled: true,
};

const FACTS: Facts = {
  tenantId: 'kestrel',
  requestId: 'rq-1',
  taskType: 'ai.chat',
  model: 'medium',
  stream: true,
  context: {},
  inputTokens: 20_000,
  maxOutputTokens: 512,
  durable: true,
  dialect: 'openai',
  priority: 5,
  deadlineMs: 30_000,
  sizeBytes: 4_096,
  hasTools: true,
  hasImages: true,
  idempotent: true,
  keyId: 'key-1',
  userId: 'ada',
  scopes: ['chat'],
  tenantTier: 'gold',
  tenantLabels: { region: 'eu', seats: 12 },
  taskSizeBytes: 2_048,
  taskParams: { temperature: 0.7, n: 2 },
  timeMs: Date.UTC(2026, 10, 21, 23, 30),
};

const LIVE: Live = {
  isOpen: (name) => name === 'alder',
  isCooling: (name, afterMs) => name === 'alder' && afterMs === 0,
  inFlight: () => 4,
  capacity: () => 16,
  latency: (_name, stream) => ({ ms: stream ? 120.4 : 900, samples: 9 }),
  errorRate: () => 0.25,
  costMicroUsd: (_target, model, input, output) => (model === 'medium-2b' ? input + output : undefined),
  budget: () => ({ id: 'month', limitMicroUsd: 1_000, spentMicroUsd: 200, reservedMicroUsd: 50 }),
};

const KNOWN: Known = { facts: FACTS, live: LIVE, status: [], attempt: 1, timeZone: 'Europe/Berlin' };
const NOTHING: Known = {
  facts: { tenantId: 'kestrel', requestId: 'rq-1', taskType: 'ai.chat', stream: false, context: {} },
  live: {},
  status: [],
  attempt: 1,
};

/** Every field of one variable, by name. */
function read(known: Known, name: keyof typeof FIELDS, target: Target = ALDER): Record<string, unknown> {
  const variables = new Variables(known);
  variables.target = target;
  const values = variables[name] as Readonly<Record<string, unknown>>;
  return Object.fromEntries(Object.keys(FIELDS[name]).map((field) => [field, values[field]]));
}

const mapWith = (members: Record<string, string | bigint | number>): CelMap => new Map(Object.entries(members));

const KNOWN_VALUES: Readonly<Record<keyof typeof FIELDS, Record<string, unknown>>> = {
  request: {
    id: 'rq-1',
    model: 'medium',
    stream: true,
    durable: true,
    dialect: 'openai',
    priority: 5n,
    deadline_ms: 30_000n,
    size_bytes: 4_096n,
    input_tokens: 20_000n,
    max_output_tokens: 512n,
    has_tools: true,
    has_images: true,
    key_id: 'key-1',
    user_id: 'ada',
    scopes: ['chat'],
    idempotent: true,
  },
  tenant: { id: 'kestrel', tier: 'gold', labels: mapWith({ region: 'eu', seats: 12n }) },
  task: { type: 'ai.chat', size_bytes: 2_048n, params: mapWith({ temperature: 0.7, n: 2n }) },
  provider: {
    name: 'alder',
    model: 'medium-2b',
    pool: 'lab',
    labels: mapWith({ region: 'eu', rank: 2n }),
    weight: 12.5,
    priority: 3n,
    breaker: 'open',
    in_flight: 4n,
    capacity: 16n,
    latency_ms: 120n,
    error_rate: 0.25,
    cost_micro_usd: 20_512n,
    cooling: true,
  },
  time: { unix_ms: 1_795_303_800_000n, hour: 0n, minute: 30n, weekday: 7n, date: '2026-11-22' },
  budget: {
    id: 'month',
    limit_micro_usd: 1_000n,
    spent_micro_usd: 200n,
    reserved_micro_usd: 50n,
    remaining_micro_usd: 750n,
    used_ratio: 0.25,
  },
};

const UNKNOWN_VALUES: Readonly<Record<string, unknown>> = {
  string: '',
  int: 0n,
  double: 0,
  bool: false,
  'list<string>': [],
  'map<string, dyn>': new Map(),
};

/** What is never unknown. */
const GIVEN: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  request: { id: 'rq-1' },
  tenant: { id: 'kestrel' },
  task: { type: 'ai.chat' },
  provider: { name: 'alder', pool: 'lab', weight: 12.5, breaker: 'closed' },
  time: { weekday: 4n, date: '1970-01-01' },
};

for (const name of Object.keys(FIELDS) as (keyof typeof FIELDS)[]) {
  test(`${name} says what is known, integers as int and ratios as double`, () => {
    assert.deepEqual(read(KNOWN, name), KNOWN_VALUES[name]);
  });

  test(`${name} says 0 for unknown numbers and nothing for unknown texts`, () => {
    const bare = { ...ALDER, model: undefined, priority: 0, labels: {} };
    const fields = Object.entries(FIELDS[name]).map(([field, { type }]) => [field, UNKNOWN_VALUES[type]]);
    assert.deepEqual(read(NOTHING, name, bare), { ...Object.fromEntries(fields), ...GIVEN[name] });
  });
}

test('a candidate is bounded by the policy before its pool, and is asked for the requested model if it has none', () => {
  const provider = read(KNOWN, 'provider', { ...ALDER, maxInFlight: 2, model: undefined });
  assert.equal(provider['capacity'], 2n);
  assert.equal(provider['model'], 'medium');
  assert.equal(provider['cost_micro_usd'], 0n);
});

test('a spent budget has nothing left, and may be overdrawn', () => {
  const budget = (): ReturnType<NonNullable<Live['budget']>> => ({
    id: 'day',
    limitMicroUsd: 100,
    spentMicroUsd: 150,
    reservedMicroUsd: 0,
  });
  const { remaining_micro_usd: left, used_ratio: ratio } = read({ ...KNOWN, live: { budget } }, 'budget');
  assert.deepEqual([left, ratio], [0n, 1.5]);
});

const contextOf = (context: Facts['context'], more: Partial<Known> = {}): CelMap =>
  new Variables({ ...KNOWN, ...more, facts: { ...FACTS, context } }).context;

test('context is the JSON of the caller, with integers as int at every depth', () => {
  const context: unknown = JSON.parse(
    '{"n":1,"r":1.5,"big":1e300,"list":[1,null,{"m":2}],"constructor":"c","__proto__":{"x":1}}',
  );
  assert.deepEqual(
    contextOf(context as Facts['context']),
    new Map<string, unknown>([
      ['n', 1n],
      ['r', 1.5],
      ['big', 1e300],
      ['list', [1n, null, new Map([['m', 2n]])]],
      ['constructor', 'c'],
      ['__proto__', new Map([['x', 1n]])],
    ]),
  );
});

test('what is not JSON is missing, and so is what is nested without end', () => {
  const endless: Record<string, unknown> = { call: () => 1, nothing: undefined };
  endless['self'] = endless;
  const context = contextOf(endless);
  assert.deepEqual([...context.keys()], ['self']);
  let depth = 0;
  for (let at: unknown = context; at instanceof Map; at = at.get('self')) depth++;
  assert.equal(depth, 65);
});

test('the words of the router are never those of the caller', () => {
  const lies = { status: ['ok'], attempt: 9, error_class: 'none', current_provider: 'cedar', tier: 'gold' };
  assert.deepEqual(contextOf(lies), new Map([['tier', 'gold']]));
  assert.deepEqual(
    contextOf(lies, { status: ['timeout'], attempt: 2, errorClass: 'timeout', currentProvider: 'alder' }),
    new Map<string, unknown>([
      ['status', ['timeout']],
      ['attempt', 2n],
      ['error_class', 'timeout'],
      ['current_provider', 'alder'],
      ['tier', 'gold'],
    ]),
  );
});
