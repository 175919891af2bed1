import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { adminV2, type AdminReply } from '../contracts/admin.ts';
import type { AdminOperation, AdminScope } from '../contracts/admin-operations.ts';
import { at } from '../contracts/contract.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { serveAdmin } from './admin.ts';
import { memoryExtensions, memoryPolicies } from './admin-fixture.ts';
import { policyAdminOf } from './admin-policy-reads.ts';
import type { Authorize } from './admin-principal.ts';
import { Breakers } from './breakers.ts';

const DOCUMENT = { version: '2.0', weights: { alder: 1 } };
const OTHER = { version: '2.0', weights: { birch: 1 } };
const NAMED = { tenant_id: 'acme', policy_id: 'support' };
const REQUEST = {
  version: '2',
  request_id: 'rq-1',
  ...NAMED,
  task: { type: 'ai.chat', model: 'small', payload: { messages: [{ role: 'user', content: 'a secret question' }] } },
};
const NOW_MS = 1_790_000_000_000;

interface Key {
  readonly scopes: readonly AdminScope[];
  readonly policies?: ReadonlySet<string>;
}

const READS: readonly AdminScope[] = ['decision:read', 'policy:read', 'extension:read', 'system:read'];
const KEYS: Readonly<Record<string, Key>> = {
  'Bearer admin': {
    scopes: [...READS, 'policy:write', 'policy:delete', 'policy:simulate', 'breaker:reset', 'extension:write'],
  },
  'Bearer viewer': { scopes: READS },
  'Bearer narrow': { scopes: [...READS, 'policy:write', 'policy:simulate'], policies: new Set(['support']) },
};

const authorize: Authorize = (authorization, scope, tenantId) => {
  const key = KEYS[authorization ?? ''];
  if (key === undefined) throw new BeamlineError('unauthorized', 'no valid credential');
  if (tenantId !== undefined && tenantId !== 'acme') throw new BeamlineError('forbidden', 'another tenant');
  if (!key.scopes.includes(scope)) throw new BeamlineError('forbidden', `the key may not do ${scope}`);
  const principal = { id: authorization?.slice(7) ?? '', tenants: ['acme'] };
  return key.policies === undefined ? principal : { ...principal, policies: key.policies };
};

async function open() {
  const clock = new ManualClock(NOW_MS);
  const timers = new Timers(clock);
  const lines: string[] = [];
  const telemetry = { log: openLog('info', { write: (line) => void lines.push(line) }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const breakers = new Breakers(telemetry);
  for (const [tenant, provider, mode] of [
    ['acme', 'alder', 'force_open'],
    ['acme', 'birch', 'auto'],
    ['zeta', 'alder', 'auto'],
  ] as const)
    breakers.force(tenant, provider, mode, clock.nowMs());
  const { replica, store, parse } = await memoryPolicies(['acme'], clock, telemetry);
  const p95Ms = (id: string) => (id === 'guard' ? 41.6 : undefined);
  const guard = { endpoint: 'guard', status: 'degraded', successRate: 0.9, calls: 10, breaker: 'closed' } as const;
  const extensions = await memoryExtensions({ bus, timers, telemetry, health: [guard], p95Ms });
  let opened = 0;
  serveAdmin({
    bus,
    timers,
    telemetry,
    authorize,
    rehearse: async (_, request) => ({ request, executed: [] }),
    records: async () => undefined,
    isAlone: () => true,
    policies: policyAdminOf(replica, store, parse),
    source: () => ({ kind: 'kv', reachable: true }),
    routerId: 'r-1',
    extensions,
    breakers: {
      list: () => breakers.list(clock.nowMs()),
      async force({ tenantId, providerId, mode, reset }) {
        if (reset) breakers.force(tenantId, providerId, 'force_closed', clock.nowMs());
        return breakers.force(tenantId, providerId, mode, clock.nowMs());
      },
    },
    moment: {
      budgetsOf: async () => undefined,
      now: () => ({
        attempt: 1,
        failed: new Set(),
        failureWords: [],
        isOpen(provider) {
          opened++;
          return provider === 'alder';
        },
      }),
    },
  });
  const ask = (op: string, params: object, authorization: string | undefined = 'Bearer admin', tenantId = 'acme') =>
    bus.request(
      at(adminV2, { op }),
      { version: '2', request_id: 'adm-1', params: { ...params } },
      { timeoutMs: 1_000, correlation: { traceId: 't', tenantId, authorization } },
    );
  const audits = () =>
    lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter(({ message }) => message === 'admin_write');
  return { ask, lines, audits, looks: () => opened };
}

const codeOf = ({ error }: AdminReply): string | undefined => error?.code;
const resultOf = ({ ok, result, error }: AdminReply): Record<string, unknown> => {
  assert.ok(ok, JSON.stringify(error));
  return result ?? {};
};

test('a policy is put, read, listed, put again, rolled back and deleted, and its history tells of it', async () => {
  const { ask } = await open();
  const first = await ask('put_policy', { ...NAMED, expected_revision: 0, policy: DOCUMENT });
  assert.deepEqual(resultOf(first), { revision: 1, created: true, warnings: [] });
  assert.deepEqual(first.context, { request_id: 'adm-1', tenant_id: 'acme' });
  assert.deepEqual(resultOf(await ask('put_policy', { ...NAMED, expected_revision: 1, policy: OTHER })), {
    revision: 2,
    created: false,
    warnings: [],
  });
  assert.deepEqual(resultOf(await ask('get_policy', NAMED))['policy'], OTHER);
  assert.deepEqual(resultOf(await ask('get_policy', { ...NAMED, revision: 1 }))['policy'], DOCUMENT);
  assert.deepEqual(resultOf(await ask('rollback_policy', { ...NAMED, to_revision: 1 }))['revision'], 3);
  assert.deepEqual(resultOf(await ask('get_policy', NAMED))['policy'], DOCUMENT);
  assert.deepEqual(resultOf(await ask('list_policies', { tenant_id: 'acme' })), {
    items: [{ policy_id: 'support', revision: 3, updated_at_ms: NOW_MS }],
  });
  assert.deepEqual(resultOf(await ask('delete_policy', { ...NAMED, expected_revision: 3 })), { revision: 4 });
  assert.equal(codeOf(await ask('get_policy', NAMED)), 'policy_not_found');
  const { revisions } = resultOf(await ask('policy_history', NAMED)) as { revisions: Record<string, unknown>[] };
  assert.deepEqual(
    revisions.map(({ revision, deleted, updated_by }) => [revision, deleted, updated_by]),
    [
      [4, true, 'admin'],
      [3, false, 'admin'],
      [2, false, 'admin'],
      [1, false, 'admin'],
    ],
  );
  assert.ok(revisions.every((one) => !('policy' in one)));
});

test('a list comes in pages, and holds what the key may use', async () => {
  const { ask } = await open();
  for (const policy_id of ['c', 'a', 'support', 'b'])
    await ask('put_policy', { ...NAMED, policy_id, policy: DOCUMENT });
  const page = async (more: object) => {
    const result = resultOf(await ask('list_policies', { tenant_id: 'acme', limit: 2, ...more }));
    return [(result['items'] as { policy_id: string }[]).map(({ policy_id }) => policy_id), result['next_cursor']];
  };
  assert.deepEqual(await page({}), [['a', 'b'], 'b']);
  assert.deepEqual(await page({ cursor: 'b' }), [['c', 'support'], undefined]);
  const narrow = resultOf(await ask('list_policies', { tenant_id: 'acme' }, 'Bearer narrow'));
  assert.deepEqual((narrow['items'] as object[]).length, 1);
});

test('a refused document is told with all its findings', async () => {
  const { ask } = await open();
  const policy = { version: '2.0', weights: { alder: 101, oak: 1 }, colour: 'red' };
  const { error } = await ask('put_policy', { ...NAMED, policy });
  assert.equal(error?.code, 'validation_failed');
  const { errors } = (error?.details ?? {}) as { errors: { path: string; code: string }[] };
  assert.deepEqual(
    errors.map(({ path, code }) => [path, code]),
    [
      ['/weights/alder', 'range'],
      ['/colour', 'unknown_key'],
      ['/weights/oak', 'unknown_provider'],
    ],
  );
  const told = resultOf(await ask('validate_policy', { policy }));
  assert.deepEqual([told['valid'], told['errors']], [false, errors]);
});

test('a stored policy and a given document are validated without a write', async () => {
  const { ask } = await open();
  assert.deepEqual(resultOf(await ask('validate_policy', { policy: DOCUMENT })), {
    valid: true,
    errors: [],
    warnings: [],
  });
  assert.equal(codeOf(await ask('get_policy', NAMED)), 'policy_not_found');
  await ask('put_policy', { ...NAMED, policy: DOCUMENT });
  assert.equal(resultOf(await ask('validate_policy', NAMED))['valid'], true);
  for (const policy of [null, 7, 'text', []]) {
    assert.equal(resultOf(await ask('validate_policy', { policy }))['valid'], false);
  }
});

test('a policy without extensions has no complexity, the built-in one included', async () => {
  const { ask } = await open();
  const none = {
    extensions: { pre: 0, validators: 0, post: 0 },
    score: 0,
    level: 'low',
    estimated_latency_ms: 0,
    warnings: [],
  };
  assert.deepEqual(resultOf(await ask('get_complexity', { tenant_id: 'acme', policy_id: 'default' })), none);
  assert.deepEqual(resultOf(await ask('get_complexity', { policy: DOCUMENT })), none);
  const { score, warnings } = resultOf(await ask('get_complexity', { policy: { pre: [1, 2, 3, 4] } }));
  assert.deepEqual([score, (warnings as { code: string }[]).map(({ code }) => code)], [70, ['complexity']]);
});

test('the estimate of a complexity takes what this router measured of an extension, else thirty milliseconds', async () => {
  const { ask } = await open();
  const policy = { pre: [{ id: 'guard' }, { id: 'fresh' }] };
  assert.equal(resultOf(await ask('get_complexity', { policy }))['estimated_latency_ms'], 72);
});

test('a dry run decides with the stored policy and what the router knows, and explains it', async () => {
  const { ask, looks } = await open();
  await ask('put_policy', { ...NAMED, policy: { version: '2.0', weights: { alder: 1, birch: 1 } } });
  const told = resultOf(await ask('dry_run', { request: REQUEST }));
  const decision = told['decision'] as Record<string, unknown>;
  assert.deepEqual([decision['provider_id'], decision['policy_revision']], ['birch', 1]);
  const { candidates, steps } = told['explanation'] as { candidates: object[]; steps: object[] };
  assert.deepEqual([candidates.length, steps.length], [2, 2]);
  assert.deepEqual(told['executed_extensions'], []);
  assert.match(String(told['payload_digest']), /^[0-9a-f]{64}$/);
  assert.ok(looks() > 0);
});

test('a dry run takes a document, a revision, a seed, a time and a snapshot instead', async () => {
  const { ask, looks } = await open();
  await ask('put_policy', { ...NAMED, policy: DOCUMENT });
  await ask('put_policy', { ...NAMED, policy: OTHER });
  const decided = async (more: object): Promise<unknown> =>
    (resultOf(await ask('dry_run', { request: REQUEST, snapshot: {}, ...more }))['decision'] as { provider_id: string })
      .provider_id;
  assert.equal(await decided({}), 'birch');
  assert.equal(await decided({ revision: 1 }), 'alder');
  assert.equal(await decided({ policy: { version: '2.0', weights: { cedar: 1 } } }), 'cedar');
  const policy = { version: '2.0', weights: { alder: 50, birch: 50 } };
  const drawn = new Set<unknown>();
  for (let n = 0; n < 20; n++) drawn.add(await decided({ policy, seed: `s${n}`, time_ms: 1 }));
  assert.deepEqual([...drawn].map(String).toSorted(), ['alder', 'birch']);
  assert.equal(await decided({ policy, snapshot: { open: ['alder'] } }), 'birch');
  assert.equal(looks(), 0, 'a given snapshot replaces what the router knows');
  const none = resultOf(await ask('dry_run', { request: REQUEST, snapshot: { open: ['birch'] } }));
  assert.equal((none['refusal'] as { code: string }).code, 'circuit_breaker_open');
  assert.equal('decision' in none, false);
});

test('breakers are told of the caller’s tenants only, and forced', async () => {
  const { ask, audits } = await open();
  const { states } = resultOf(await ask('get_breakers', {}));
  const alder = { tenant_id: 'acme', provider_id: 'alder', state: 'open', mode: 'force_open' };
  const birch = { tenant_id: 'acme', provider_id: 'birch', state: 'closed', mode: 'auto' };
  assert.deepEqual(states, [alder, birch]);
  assert.deepEqual(resultOf(await ask('get_breakers', { tenant_id: 'acme', provider_id: 'birch' }))['states'], [birch]);
  const forced = { tenant_id: 'acme', provider_id: 'birch', mode: 'force_open' };
  assert.deepEqual(resultOf(await ask('set_breaker', forced))['state'], { ...forced, state: 'open' });
  const reset = { tenant_id: 'acme', provider_id: 'alder', mode: 'auto', reset: true };
  assert.deepEqual(resultOf(await ask('set_breaker', reset))['state'], { ...alder, state: 'closed', mode: 'auto' });
  const [line] = audits();
  assert.deepEqual([line?.['provider'], line?.['state'], line?.['key_id']], ['birch', 'force_open', 'admin']);
});

test('health tells of the process and of the source', async () => {
  const { ask } = await open();
  await ask('put_policy', { ...NAMED, policy: DOCUMENT });
  assert.deepEqual(resultOf(await ask('health', {}, 'Bearer viewer')), {
    router_id: 'r-1',
    source: { kind: 'kv', reachable: true },
    policies: 1,
  });
});

test('every write leaves one line with who, what and which revision, and nothing of the document', async () => {
  const { ask, audits, lines } = await open();
  await ask('put_policy', { ...NAMED, policy: { ...DOCUMENT, description: 'a secret plan' } });
  await ask('put_policy', { ...NAMED, expected_revision: 7, policy: DOCUMENT });
  await ask('delete_policy', NAMED, 'Bearer viewer');
  await ask('get_policy', NAMED);
  const what = ({ operation, key_id, tenant_id, policy, revision, code }: Record<string, unknown>) => ({
    operation,
    key_id,
    tenant_id,
    policy,
    revision,
    code,
  });
  const named = { tenant_id: 'acme', policy: 'support' };
  assert.deepEqual(audits().map(what), [
    { operation: 'put_policy', key_id: 'admin', ...named, revision: 1, code: undefined },
    { operation: 'put_policy', key_id: 'admin', ...named, revision: undefined, code: 'precondition_failed' },
    { operation: 'delete_policy', key_id: undefined, ...named, revision: undefined, code: 'forbidden' },
  ]);
  assert.ok(!lines.join('').includes('secret'));
});

const EVERY: Readonly<Record<AdminOperation, object>> = {
  get_policy: NAMED,
  policy_history: NAMED,
  list_policies: { tenant_id: 'acme' },
  policy_changes: {},
  put_policy: { ...NAMED, policy: DOCUMENT },
  rollback_policy: { ...NAMED, to_revision: 1 },
  delete_policy: NAMED,
  validate_policy: { ...NAMED, policy: DOCUMENT },
  get_complexity: NAMED,
  dry_run: { request: REQUEST },
  replay: { ...NAMED },
  get_decision: { tenant_id: 'acme', request_id: 'rq-1' },
  get_breakers: { tenant_id: 'acme' },
  get_extension_health: { tenant_id: 'acme' },
  list_extensions: {},
  get_extension: { extension_id: 'guard' },
  put_extension: { extension_id: 'guard', extension: { type: 'pre' } },
  delete_extension: { extension_id: 'guard' },
  reset_extension_breaker: { extension_id: 'guard' },
  health: {},
  set_breaker: { tenant_id: 'acme', provider_id: 'alder', mode: 'auto' },
};
const VIEWED = new Set([
  'get_decision',
  'get_policy',
  'policy_history',
  'list_policies',
  'policy_changes',
  'get_complexity',
  'get_breakers',
  'get_extension_health',
  'list_extensions',
  'get_extension',
  'health',
]);

for (const [op, params] of Object.entries(EVERY)) {
  test(`${op} is for who may do it, in the own tenant`, async () => {
    const { ask } = await open();
    assert.equal(codeOf(await ask(op, params, 'Bearer nobody')), 'unauthorized');
    const viewed = codeOf(await ask(op, params, 'Bearer viewer'));
    assert.equal(viewed === 'forbidden', !VIEWED.has(op), viewed);
    const foreign = JSON.parse(JSON.stringify(params).replaceAll('acme', 'zeta')) as object;
    if (JSON.stringify(params).includes('acme'))
      assert.equal(codeOf(await ask(op, foreign, 'Bearer admin', 'zeta')), 'forbidden');
  });
}

const REFUSED: readonly (readonly [what: string, op: string, params: object, code: string, intake?: string])[] = [
  ['an unknown operation', 'drop_tables', {}, 'invalid_request', 'SCHEMA_VALIDATION_FAILED'],
  ['a missing policy', 'get_policy', { tenant_id: 'acme' }, 'invalid_request', 'SCHEMA_VALIDATION_FAILED'],
  ['a tenant that is a number', 'get_policy', { ...NAMED, tenant_id: 7 }, 'invalid_request'],
  ['a negative revision', 'get_policy', { ...NAMED, revision: -1 }, 'invalid_request'],
  ['a limit of 201', 'list_policies', { tenant_id: 'acme', limit: 201 }, 'invalid_request'],
  ['a put without a document', 'put_policy', NAMED, 'invalid_request'],
  ['a name with a slash', 'put_policy', { ...NAMED, policy_id: '../x', policy: DOCUMENT }, 'invalid_request'],
  ['a document that is a text', 'put_policy', { ...NAMED, policy: 'text' }, 'validation_failed'],
  ['a wrong revision', 'put_policy', { ...NAMED, policy: DOCUMENT, expected_revision: 9 }, 'precondition_failed'],
  ['a rollback to nothing', 'rollback_policy', { ...NAMED, to_revision: 9 }, 'not_found'],
  ['a delete of what is absent', 'delete_policy', NAMED, 'not_found'],
  ['a history of what is absent', 'policy_history', NAMED, 'not_found'],
  ['a revision of what is absent', 'get_policy', { ...NAMED, revision: 3 }, 'not_found'],
  ['a validation of nothing', 'validate_policy', {}, 'invalid_request'],
  ['a complexity of what is absent', 'get_complexity', NAMED, 'policy_not_found'],
  ['a dry run of what is absent', 'dry_run', { request: REQUEST }, 'policy_not_found'],
  ['a dry run without a task', 'dry_run', { request: { ...REQUEST, task: undefined } }, 'invalid_request'],
  ['a dry run of a bad document', 'dry_run', { request: REQUEST, policy: {} }, 'validation_failed'],
  ['a bad snapshot', 'dry_run', { request: REQUEST, policy: DOCUMENT, snapshot: { open: 1 } }, 'invalid_request'],
  ['an unknown mode', 'set_breaker', { tenant_id: 'acme', provider_id: 'a', mode: 'off' }, 'invalid_request'],
  [
    'a reset that forces',
    'set_breaker',
    { tenant_id: 'acme', provider_id: 'alder', mode: 'force_open', reset: true },
    'invalid_request',
  ],
  [
    'the breaker of a provider that no policy names',
    'set_breaker',
    { tenant_id: 'acme', provider_id: 'oak', mode: 'auto' },
    'not_found',
  ],
  ['a replay of nothing', 'replay', {}, 'invalid_request'],
  ['a replay of too much', 'replay', { ...NAMED, limit: 5_001 }, 'invalid_request'],
  ['a replay by what is absent', 'replay', NAMED, 'policy_not_found'],
  ['a replay without records', 'replay', { ...NAMED, policy: DOCUMENT }, 'unavailable'],
  ['the decision of a request that nobody knows', 'get_decision', { tenant_id: 'acme', request_id: 'x' }, 'not_found'],
];

for (const [what, op, params, code, intake] of REFUSED) {
  test(`${what} is refused as ${code}`, async () => {
    const { error } = await (await open()).ask(op, params);
    assert.equal(error?.code, code, error?.message);
    if (intake !== undefined) assert.equal(error?.intake_error_code, intake);
  });
}

test('a key with a list of policies administers no other', async () => {
  const { ask } = await open();
  assert.equal(codeOf(await ask('put_policy', { ...NAMED, policy: DOCUMENT }, 'Bearer narrow')), undefined);
  assert.equal(codeOf(await ask('get_policy', { ...NAMED, policy_id: 'other' }, 'Bearer narrow')), 'forbidden');
  const { policy_id: _, ...request } = REQUEST;
  assert.equal(codeOf(await ask('dry_run', { request }, 'Bearer narrow')), 'forbidden');
});

test('a header that names another tenant than the params is refused', async () => {
  const { error } = await (await open()).ask('get_policy', NAMED, 'Bearer admin', 'zeta');
  assert.deepEqual([error?.code, error?.intake_error_code], ['invalid_request', 'CORRELATION_FIELDS_INVALID']);
});

test('the health of extensions is told as this router knows it', async () => {
  const { ask } = await open();
  assert.deepEqual(resultOf(await ask('get_extension_health', {})), {
    health: [{ endpoint: 'guard', status: 'degraded', success_rate: 0.9, calls: 10, breaker: 'closed' }],
  });
});
