// The registry of extensions from a socket to the bucket and to the decisions of two routers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../test/until.ts';
import type { Role } from '../auth/principal.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { at } from '../contracts/contract.ts';
import { decideV2 } from '../contracts/decide.ts';
import { type ExtensionReply, extensionValidate } from '../contracts/extension.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { administerOver } from '../gateway/admin-client.ts';
import { askBelow, type Json, openEdge } from '../gateway/edge-fixture.ts';
import { memoryPolicies } from '../router/admin-fixture.ts';
import { ExtensionRegistry } from '../router/extension-registry.ts';
import type { Descriptor } from '../router/extensions.ts';
import { startRouter } from '../router/router.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { administrationOf } from './administration.ts';

const ok = (): ExtensionReply => ({ status: 'ok' });

const FIXED: Descriptor = { id: 'fixed', type: 'pre', timeoutMs: 700, retry: 1, enabled: true, config: { a: 1 } };
const GUARD = { id: 'guard', type: 'validator' } as const;
const GUARDED = { version: '2.0', weights: { alder: 1 }, validators: [{ id: 'guard' }] };
const SETTINGS = {
  accept_wait_ms: 1_000,
  heartbeat_ms: 1_000,
  silence_ms: 3_000,
  worker_lost_ms: 3_000,
  dispatch_window: 0,
  jobs_outstanding: 100,
  sweep_ms: 30_000,
  jobs_bytes_max: 1e9,
  jobs_retention_hours: 216,
  in_flight_max: 100,
  extensions_ms: 4_000,
  budget_output_tokens: 100,
};

async function open(role: Role = 'admin') {
  const timers = new Timers(systemClock, { tickMs: 5 });
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const edge = await openEdge({ role, bus, administer: administerOver(bus) });
  const registries: ExtensionRegistry[] = [];
  const registryOf = async (): Promise<ExtensionRegistry> => {
    const configured = new Map([['fixed', FIXED]]);
    const registry = await ExtensionRegistry.open({ bus, timers, log: telemetry.log, configured });
    registries.push(registry);
    return registry;
  };
  const own = await registryOf();
  const policies = await memoryPolicies(['acme', 'zeta'], systemClock, telemetry, own);
  const administration = administrationOf(policies, edge.authenticator, systemClock);
  const start = (id: string, administered: boolean, registry: ExtensionRegistry) =>
    startRouter({
      bus,
      timers,
      telemetry: { ...telemetry, metrics: new Metrics() },
      policies: policies.replica,
      settings: { ...SETTINGS, id },
      registry,
      ...(administered ? { administration } : {}),
    });
  // Requests are shared by both, and only one of them is told of what changes.
  const routers = [await start('r-1', true, own), await start('r-2', false, await registryOf())];
  const ask = askBelow(edge, '/api/v1/extensions');
  let asked = 0;
  /** The code of a refusal, or `ok`. */
  const decide = async (): Promise<string> => {
    const { ok, error } = await bus.request(
      at(decideV2),
      {
        version: '2',
        request_id: `rq-${++asked}`,
        tenant_id: 'acme',
        policy_id: 'guarded',
        task: { type: 'ai.chat', model: 'small', payload: { a: 1 } },
      },
      { timeoutMs: 2_000, correlation: { traceId: 't-1', tenantId: 'acme' } },
    );
    return ok ? 'ok' : (error?.code ?? '');
  };
  const writePolicy = (tenantId: string, policyId: string, document: object) =>
    policies.store.put({ tenantId, policyId, expectedRevision: undefined, by: 'test' }, document);
  return {
    ask,
    bus,
    decide,
    writePolicy,
    async [Symbol.asyncDispose]() {
      await edge[Symbol.asyncDispose]();
      for (const opened of [...routers, ...registries]) await opened[Symbol.asyncDispose]();
      await bus[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
    },
  };
}

const errorOf = ({ json }: { json: Json }) =>
  (json['error'] ?? {}) as { code?: string; message?: string; details?: { fields?: { path: string; code: string }[] } };

test('an extension is made once, read, listed, replaced, changed and deleted, with its revision as its tag', async () => {
  await using api = await open();
  const { ask } = api;
  const made = await ask('POST', '', { body: GUARD });
  assert.deepEqual([made.status, made.headers.get('location')], [201, '/api/v1/extensions/guard']);
  const { updated_at_ms: _at, revision, ...rest } = made.json;
  const defaults = { timeout_ms: 1_000, retry: 0, enabled: true, versions: [], instances: [] };
  assert.deepEqual(rest, { ...GUARD, ...defaults, source: 'api', updated_by: 'key_1' });
  const etag = made.headers.get('etag') ?? '';
  assert.equal(etag, `"${String(revision)}"`);
  const again = await ask('POST', '', { body: GUARD });
  assert.deepEqual([again.status, errorOf(again).code], [409, 'conflict']);

  assert.deepEqual((await ask('GET', '/guard')).json, made.json);
  assert.equal((await ask('GET', '/guard', { headers: { 'if-none-match': etag } })).status, 304);
  const { data, pagination } = (await ask('GET', '?limit=1')).json as { data: Json[]; pagination: Json };
  assert.deepEqual([data[0]?.['id'], pagination], ['fixed', { limit: 1, next_cursor: 'fixed', has_more: true }]);
  const next = (await ask('GET', '?limit=1&cursor=fixed')).json as { data: Json[]; pagination: Json };
  assert.deepEqual([next.data, next.pagination['has_more']], [[made.json], false]);

  const stale = await ask('PUT', '/guard', { body: GUARD, headers: { 'if-match': '"9999"' } });
  assert.deepEqual([stale.status, errorOf(stale).code], [412, 'precondition_failed']);
  const versions = [{ version: '2', when: "tenant.tier == 'gold'" }];
  const put = await ask('PUT', '/guard', {
    body: { type: 'validator', timeout_ms: 50, versions, config: { a: 1 } },
    headers: { 'if-match': etag },
  });
  assert.deepEqual([put.status, put.json['timeout_ms'], put.json['config']], [200, 50, { a: 1 }], put.text);
  assert.deepEqual(put.json['versions'], [{ ...versions[0], enabled: true }]);
  const lost = await ask('PATCH', '/guard', { body: { enabled: false }, headers: { 'if-match': etag } });
  assert.equal(lost.status, 412);
  const changed = await ask('PATCH', '/guard', { body: { enabled: false, config: { b: 2 } } });
  assert.deepEqual(
    [changed.status, changed.json['enabled'], changed.json['config'], changed.json['timeout_ms']],
    [200, false, { b: 2 }, 50],
  );

  assert.equal((await ask('DELETE', '/guard', { headers: { 'if-match': etag } })).status, 412);
  const gone = await ask('DELETE', '/guard', { headers: { 'if-match': changed.headers.get('etag') ?? '' } });
  assert.deepEqual([gone.status, gone.text], [204, '']);
  for (const method of ['GET', 'DELETE']) {
    const absent = await ask(method, '/guard');
    assert.deepEqual([absent.status, errorOf(absent).code], [404, 'extension_not_found'], method);
  }
  assert.equal((await ask('PATCH', '/guard', { body: { retry: 1 } })).status, 404);
  assert.equal((await ask('PUT', '/guard', { body: { type: 'pre' }, headers: { 'if-none-match': '*' } })).status, 201);
});

test('what stands in the configuration is told, and not written', async () => {
  await using api = await open();
  const { status, json } = await api.ask('GET', '/fixed');
  assert.deepEqual(
    [status, json['source'], json['revision'], json['timeout_ms'], json['config']],
    [200, 'configuration', 0, 700, { a: 1 }],
  );
  const body = { id: 'fixed', type: 'pre' };
  for (const [method, path] of [
    ['POST', ''],
    ['PUT', '/fixed'],
    ['PATCH', '/fixed'],
    ['DELETE', '/fixed'],
  ] as const) {
    const refused = await api.ask(method, path, method === 'DELETE' ? {} : { body });
    assert.deepEqual([refused.status, errorOf(refused).code], [409, 'conflict'], method);
  }
});

test('decisions of every router follow the registry, and what a policy names stays', async () => {
  await using api = await open();
  const { ask, bus, decide, writePolicy } = api;
  let served = 0;
  bus.serve(at(extensionValidate, { id: 'guard' }), {}, () => {
    served++;
    return ok();
  });
  /** Both routers answer so: requests of a group go around. */
  const both = async (code: string): Promise<boolean> =>
    (await Promise.all(Array.from({ length: 8 }, decide))).every((one) => one === code);
  await writePolicy('acme', 'guarded', GUARDED);
  assert.ok(await both('extension_not_found'));
  assert.equal((await ask('POST', '', { body: GUARD })).status, 201);
  await until('both routers to know it', () => both('ok'));
  assert.ok(served > 0);

  await writePolicy('zeta', 'hidden', GUARDED);
  const refused = await ask('DELETE', '/guard');
  assert.deepEqual([refused.status, errorOf(refused).code], [409, 'conflict']);
  assert.match(errorOf(refused).message ?? '', /acme\/guarded, 1 more/);
  assert.doesNotMatch(refused.text, /zeta|hidden/);

  assert.equal((await ask('PATCH', '/guard', { body: { enabled: false } })).status, 200);
  await until('both routers to pass it over', () => both('extension_not_found'));
  for (const [tenant, policy] of [
    ['acme', 'guarded'],
    ['zeta', 'hidden'],
  ] as const)
    await writePolicy(tenant, policy, { version: '2.0', weights: { alder: 1 } });
  assert.equal((await ask('DELETE', '/guard')).status, 204);
});

test('a policy is held against the registry: who is registered, as what, and with what settings', async () => {
  await using api = await open();
  const { ask, decide, writePolicy } = api;
  const policies = (method: string, path: string, body: Json) => ask(method, `/../policies/acme${path}`, { body });
  const validated = async (document: Json): Promise<readonly string[]> => {
    const { json } = await policies('POST', '/validate', { document });
    return [...(json['errors'] as Json[]), ...(json['warnings'] as Json[])].map(({ path, code, message }) =>
      [path, code, message].join(' '),
    );
  };
  assert.deepEqual(await validated(GUARDED), [
    "/validators/0/id unknown_extension no extension 'guard' is registered, nor does the configuration have it",
  ]);
  await writePolicy('acme', 'guarded', GUARDED);
  const config_schema = { properties: { level: { type: 'integer', maximum: 3 } }, required: ['level'] };
  const made = await ask('POST', '', { body: { ...GUARD, config_schema } });
  assert.deepEqual([made.status, made.json['config_schema']], [201, config_schema], made.text);
  const guarded = (config?: Json) => ({ ...GUARDED, validators: [{ id: 'guard', ...(config && { config }) }] });
  assert.deepEqual(await validated(guarded()), ['/validators/0/config/level invalid_config is required']);
  const put = await policies('PUT', '/support', guarded({ level: 4 }));
  assert.deepEqual([put.status, errorOf(put).details?.fields?.[0]?.code], [422, 'invalid_config'], put.text);
  assert.equal((await policies('PUT', '/support', guarded({ level: 3 }))).status, 201);
  assert.deepEqual(await validated({ ...GUARDED, validators: [], pre: [{ id: 'guard' }] }), [
    "/pre/0/id unknown_extension there is no pre extension 'guard'",
  ]);
  const dryRun = async (more: Json) =>
    (await policies('POST', '/guarded/dry-run', { request: { task: { type: 'ai.chat', model: 'small' } }, ...more }))
      .status;
  assert.equal(await dryRun({ document: GUARDED }), 422);
  const { json } = await ask('GET', '/../policies/acme/guarded');
  assert.equal(await dryRun({ revision: json['revision'] }), 200, 'a stored one decides as it stands');
  // One that was stored before is judged when it is asked, on every router.
  await until('both routers to refuse it', async () =>
    (await Promise.all(Array.from({ length: 8 }, decide))).every((code) => code === 'extension_error'),
  );
});

test('a registered provider stays while a policy lists it, and has no breaker of an extension', async () => {
  await using api = await open();
  const { ask, writePolicy } = api;
  const made = await ask('POST', '', { body: { id: 'lab_llm', type: 'provider', config: { region: 'eu' } } });
  assert.deepEqual([made.status, made.json['type']], [201, 'provider'], made.text);
  assert.equal((await ask('PATCH', '/lab_llm', { body: { enabled: false } })).status, 200);
  const reset = await ask('POST', '/lab_llm/breaker/reset');
  assert.deepEqual([reset.status, errorOf(reset).code], [409, 'conflict']);
  await writePolicy('acme', 'lab', { version: '2.0', providers: [{ name: 'lab_llm', weight: 1, model: 'parrot' }] });
  const refused = await ask('DELETE', '/lab_llm');
  assert.deepEqual([refused.status, errorOf(refused).message?.includes('acme/lab')], [409, true]);
  await writePolicy('acme', 'lab', { version: '2.0', weights: { alder: 1 } });
  assert.equal((await ask('DELETE', '/lab_llm')).status, 204);
});

test('the breakers of an extension are closed on every router', async () => {
  await using api = await open();
  const { ask, bus, decide, writePolicy } = api;
  let isWell = false;
  bus.serve(at(extensionValidate, { id: 'guard' }), {}, () =>
    isWell ? ok() : { error: { code: 'x', message: 'ill' } },
  );
  await writePolicy('acme', 'guarded', GUARDED);
  await ask('POST', '', { body: GUARD });
  const codes = async () => new Set(await Promise.all(Array.from({ length: 8 }, decide)));
  await until('both breakers to open', async () => {
    const seen = await codes();
    return seen.size === 1 && seen.has('extension_unavailable');
  });
  isWell = true;
  assert.deepEqual(await codes(), new Set(['extension_unavailable']));
  const reset = await ask('POST', '/guard/breaker/reset');
  assert.deepEqual([reset.status, reset.json], [200, { states: { guard: { state: 'closed' } } }]);
  await until('both to ask again', async () => {
    const seen = await codes();
    return seen.size === 1 && seen.has('ok');
  });
  await ask('POST', '', { body: { id: 'tidy', type: 'post' } });
  const ofWorkers = await ask('POST', '/tidy/breaker/reset');
  assert.deepEqual([ofWorkers.status, ofWorkers.json], [200, { states: {} }]);
  assert.equal((await ask('POST', '/nobody/breaker/reset')).status, 404);
});

const REFUSED: readonly (readonly [what: string, body: Json, path: string, code: string])[] = [
  ['an id of one letter', { id: 'a', type: 'pre' }, '/id', 'pattern'],
  ['a reserved id', { id: 'health', type: 'pre' }, '/id', 'conflict'],
  ['no type', { id: 'guard' }, '/type', 'required'],
  ['a flow', { id: 'guard', type: 'flow' }, '/type', 'pattern'],
  ['a provider with a time', { id: 'lab', type: 'provider', timeout_ms: 900 }, '/timeout_ms', 'conflict'],
  ['a provider with instances', { id: 'lab', type: 'provider', instances: [{ id: 'a' }] }, '/instances', 'conflict'],
  [
    'a provider whose settings do not fit its schema',
    { id: 'lab', type: 'provider', config: { a: 1 }, config_schema: { properties: { a: { type: 'string' } } } },
    '/config/a',
    'invalid_config',
  ],
  ['a subject', { ...GUARD, subject: 'a.b' }, '/subject', 'unknown_key'],
  ['what only answers have', { ...GUARD, revision: 3 }, '/revision', 'unknown_key'],
  ['a schema that is a list', { ...GUARD, config_schema: [] }, '/config_schema', 'type'],
  ['a schema with a reference', { ...GUARD, config_schema: { $ref: '#' } }, '/config_schema/$ref', 'unknown_key'],
  ['a time of 9 ms', { ...GUARD, timeout_ms: 9 }, '/timeout_ms', 'range'],
  ['a time of 5001 ms', { ...GUARD, timeout_ms: 5_001 }, '/timeout_ms', 'range'],
  ['four retries', { ...GUARD, retry: 4 }, '/retry', 'range'],
  ['enabled in words', { ...GUARD, enabled: 'yes' }, '/enabled', 'type'],
  ['a config that is a list', { ...GUARD, config: [] }, '/config', 'type'],
  ['versions that are an object', { ...GUARD, versions: {} }, '/versions', 'type'],
  ['a version with a dot', { ...GUARD, versions: [{ version: '1.0' }] }, '/versions/0/version', 'pattern'],
  ['a version twice', { ...GUARD, versions: [{ version: '1' }, { version: '1' }] }, '/versions/1', 'duplicate'],
  [
    'a bad condition',
    { ...GUARD, versions: [{ version: '1', when: 'a ==' }] },
    '/versions/0/when',
    'invalid_expression',
  ],
  ['a condition as an object', { ...GUARD, versions: [{ version: '1', when: {} }] }, '/versions/0/when', 'type'],
  ['a weight of 101', { ...GUARD, instances: [{ id: 'a', weight: 101 }] }, '/instances/0/weight', 'range'],
  [
    'an instance with a subject',
    { ...GUARD, instances: [{ id: 'a', subject: 'x' }] },
    '/instances/0/subject',
    'unknown_key',
  ],
];

test('a document is refused with the path of what is wrong', async () => {
  await using api = await open();
  for (const [what, body, path, code] of REFUSED) {
    const refused = await api.ask('PUT', `/${String(body['id'])}`, { body });
    // Two ids are paths of their own or none at all.
    const told = refused.status === 405 || refused.status === 404 ? await api.ask('POST', '', { body }) : refused;
    assert.deepEqual([told.status, errorOf(told).code], [422, 'validation_failed'], `${what}: ${told.text}`);
    const [first] = errorOf(told).details?.fields ?? [];
    assert.deepEqual([first?.path, first?.code], [path, code], what);
  }
  const other = await api.ask('PUT', '/guard', { body: { ...GUARD, id: 'other' } });
  assert.deepEqual(errorOf(other).details?.fields?.[0]?.path, '/id');
  assert.deepEqual(((await api.ask('GET', '')).json['data'] as Json[]).length, 1);
});

test('no input is answered 500', async () => {
  await using api = await open();
  const bodies = ['', '{', '[]', 'null', '7', { id: null }, { id: 'x'.repeat(300) }, { id: '../x', type: 'pre' }, {}];
  const ids = ['guard', 'a%2Fb', '%00', '..%2F..%2Fetc', '%zz', 'x'.repeat(300), 'A', '-'];
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
    for (const id of ids) {
      for (const body of method === 'GET' || method === 'DELETE' ? [undefined] : bodies) {
        const { status, text } = await api.ask(method, method === 'POST' ? '' : `/${id}`, { body });
        assert.ok(status >= 400 && status < 500, `${method} ${id} ${JSON.stringify(body)}: ${status} ${text}`);
      }
    }
  }
});

const MAY: readonly (readonly [role: Role, may: readonly string[]])[] = [
  ['viewer', ['GET /guard']],
  ['operator', ['GET /guard', 'POST /guard/breaker/reset']],
  ['service', []],
];

for (const [role, may] of MAY) {
  test(`a key of the role ${role} may ${may.join(' and ') || 'nothing'}`, async () => {
    await using api = await open(role);
    for (const [method, path] of [
      ['GET', '/guard'],
      ['POST', ''],
      ['PUT', '/guard'],
      ['PATCH', '/guard'],
      ['DELETE', '/guard'],
      ['POST', '/guard/breaker/reset'],
    ] as const) {
      const { status } = await api.ask(method, path, method === 'GET' || method === 'DELETE' ? {} : { body: GUARD });
      assert.equal(status, may.includes(`${method} ${path}`) ? 404 : 403, `${method} ${path}`);
    }
  });
}
