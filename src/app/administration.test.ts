// Administration from a socket to the store of policies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../core/clock.ts';
import type { Json } from '../gateway/edge-fixture.ts';
import { decide } from '../policy/decide.ts';
import type { Facts, Snapshot } from '../policy/facts.ts';
import { parsePolicy } from '../policy/parse.ts';
import { openAdministration as open } from './administration-fixture.ts';

const DOCUMENT = { version: '2.0', weights: { alder: 1 } };
const OTHER = { version: '2.0', weights: { birch: 1 } };
const TASK = { type: 'ai.chat', model: 'small', payload: { messages: [{ role: 'user', content: 'hello' }] } };

const errorOf = ({ json }: { json: Json }) => (json['error'] ?? {}) as { code?: string; details?: Json };

test('a policy is created, replaced, read, rolled back and deleted, with its revision as its tag', async () => {
  await using api = await open();
  const { ask } = api;
  const path = '/policies/acme/support';
  const created = await ask('PUT', path, { body: DOCUMENT });
  assert.deepEqual(
    [created.status, created.headers.get('etag'), created.json],
    [201, '"1"', { revision: 1, warnings: [] }],
  );
  const replaced = await ask('PUT', path, { body: OTHER, headers: { 'if-match': '"1"' } });
  assert.deepEqual([replaced.status, replaced.headers.get('etag')], [200, '"2"']);
  const read = await ask('GET', path);
  assert.deepEqual(
    [read.status, read.headers.get('etag'), read.json['policy'], read.json['updated_by']],
    [200, '"2"', OTHER, 'key_1'],
  );
  for (const seen of ['"2"', 'W/"2"', '"1", "2"', '*']) {
    const fresh = await ask('GET', path, { headers: { 'if-none-match': seen } });
    assert.deepEqual([fresh.status, fresh.text, fresh.headers.get('etag')], [304, '', '"2"'], seen);
  }
  assert.equal((await ask('GET', path, { headers: { 'if-none-match': '"1"' } })).status, 200);
  const back = await ask('POST', `${path}/rollback`, { body: { revision: 1 }, headers: { 'if-match': '"2"' } });
  assert.deepEqual([back.status, back.json['revision']], [200, 3]);
  assert.deepEqual((await ask('GET', path)).json['policy'], DOCUMENT);
  const gone = await ask('DELETE', path, { headers: { 'if-match': '"3"' } });
  assert.deepEqual([gone.status, gone.text], [204, '']);
  assert.equal((await ask('GET', path)).status, 404);
  assert.equal((await ask('DELETE', path)).status, 404);
  const { data, pagination } = (await ask('GET', `${path}/versions`)).json as { data: Json[]; pagination: Json };
  assert.deepEqual(
    data.map(({ revision }) => revision),
    [4, 3, 2, 1],
  );
  assert.deepEqual(pagination, { limit: 4, next_cursor: null, has_more: false });
  assert.deepEqual((await ask('GET', `${path}/versions/2`)).json['policy'], OTHER);
  assert.equal((await ask('GET', `${path}/versions/9`)).status, 404);
});

test('a policy is created once by its name in the document', async () => {
  await using api = await open();
  const { ask } = api;
  const body = { ...DOCUMENT, policy_id: 'support' };
  const created = await ask('POST', '/policies/acme', { body });
  assert.deepEqual(
    [created.status, created.headers.get('location'), created.headers.get('etag')],
    [201, '/api/v1/policies/acme/support', '"1"'],
  );
  const again = await ask('POST', '/policies/acme', { body });
  assert.deepEqual([again.status, errorOf(again).code], [409, 'conflict']);
  assert.equal((await ask('PUT', '/policies/acme/a', { body: DOCUMENT })).status, 201);
  const first = await ask('GET', '/policies/acme?limit=1');
  assert.deepEqual(first.json['pagination'], { limit: 1, next_cursor: 'a', has_more: true });
  const { data, pagination } = (await ask('GET', '/policies/acme?limit=1&cursor=a')).json;
  assert.deepEqual(
    [(data as Json[]).map(({ policy_id }) => policy_id), pagination],
    [['support'], { limit: 1, next_cursor: null, has_more: false }],
  );
});

test('a document with errors is 422 with every finding, and is not written', async () => {
  await using api = await open();
  const answer = await api.ask('PUT', '/policies/acme/support', {
    body: { version: '2.0', weights: { alder: 101, oak: 1 }, colour: 'red' },
  });
  const { code, details } = errorOf(answer);
  assert.deepEqual([answer.status, code], [422, 'validation_failed']);
  assert.deepEqual(
    ((details ?? {})['fields'] as Json[]).map(({ path }) => path),
    ['/weights/alder', '/colour', '/weights/oak'],
  );
  assert.equal((await api.ask('GET', '/policies/acme/support')).status, 404);
});

test('a document is validated, and its complexity told', async () => {
  await using api = await open();
  const { ask } = api;
  const good = await ask('POST', '/policies/acme/validate', { body: { document: DOCUMENT } });
  assert.deepEqual([good.status, good.json], [200, { valid: true, errors: [], warnings: [] }]);
  const bad = await ask('POST', '/policies/acme/validate', { body: { document: [] } });
  assert.deepEqual([bad.status, bad.json['valid']], [200, false]);
  assert.equal((await ask('GET', '/policies/acme/default/complexity')).json['score'], 0);
});

test('a decision is explained and dry-run by the stored policy, by a document and by an old revision', async () => {
  await using api = await open();
  const { ask } = api;
  await ask('PUT', '/policies/acme/support', { body: DOCUMENT });
  await ask('PUT', '/policies/acme/support', { body: OTHER });
  const chosen = async (path: string, more: Json = {}): Promise<unknown> => {
    const { status, json } = await ask('POST', `/policies/${path}`, { body: { request: { task: TASK }, ...more } });
    assert.equal(status, 200, JSON.stringify(json));
    return (json['decision'] as Json)['provider_id'];
  };
  assert.equal(await chosen('acme/support/explain'), 'birch');
  assert.equal(await chosen('acme/support/explain', { revision: 1 }), 'alder');
  assert.equal(await chosen('acme/support/dry-run', { document: { version: '2.0', weights: { cedar: 1 } } }), 'cedar');
  assert.equal(await chosen('dry-run', { policy_id: 'support' }), 'birch');
  const { json } = await ask('POST', '/policies/acme/support/dry-run', { body: { request: { task: TASK } } });
  assert.deepEqual([json['executed_extensions'], json['final_payload'], json['blocked_by']], [[], TASK.payload, null]);
  assert.equal((json['explanation'] as Json)['policy_id'], 'support');
});

function decideSome({ decisions }: Pick<Awaited<ReturnType<typeof open>>, 'decisions'>, count: number): void {
  const key = { knownProviders: new Set(['alder', 'birch']), tenantId: 'acme', policyId: 'support', revision: 1 };
  const parsed = parsePolicy({ version: '2.0', weights: { alder: 1, birch: 1 } }, key);
  assert.ok(parsed.kind === 'valid');
  const snapshot: Snapshot = { attempt: 1, failed: new Set(), failureWords: [] };
  for (let id = 0; id < count; id++) {
    const facts: Facts = {
      tenantId: 'acme',
      requestId: `req_${id}`,
      taskType: 'ai.chat',
      model: 'm',
      stream: false,
      context: {},
    };
    decisions.decided(parsed.policy, facts, snapshot, decide(parsed.policy, facts, snapshot, false));
  }
}

test('what was decided is read by its request, and explained by another document', async () => {
  await using api = await open('operator');
  decideSome(api, 3);
  const read = await api.ask('GET', '/routes/decide/req_1');
  assert.deepEqual([read.status, read.json['ok'], read.json['policy_id']], [200, true, 'support']);
  assert.equal((read.json['explanation'] as Json)['seed'], 'acme:req_1');
  assert.equal((read.json['attempts'] as Json[]).length, 1);
  const body = { request_id: 'req_1', document: { version: '2.0', weights: { cedar: 1 } } };
  const other = await api.ask('POST', '/policies/acme/support/explain', { body });
  assert.deepEqual([other.status, (other.json['decision'] as Json)['provider_id']], [200, 'cedar']);
  assert.equal((await api.ask('GET', '/routes/decide/req_9')).status, 404);
  const elsewhere = await api.ask('POST', '/policies/acme/other/explain', { body: { request_id: 'req_1' } });
  assert.equal(elsewhere.status, 404);
  const both = await api.ask('POST', '/policies/acme/support/explain', { body: { request_id: 'req_1', request: {} } });
  assert.equal(both.status, 400);
});

test('what was decided is replayed by a document, in a span and up to a limit', async () => {
  await using api = await open('operator');
  decideSome(api, 40);
  const path = '/policies/acme/support/replay';
  const { status, json } = await api.ask('POST', path, { body: { document: OTHER } });
  const [totals, changes] = [json['totals'], json['first_changes']] as [Json[], Json[]];
  assert.deepEqual([status, json['records'], json['mismatch'], json['is_complete']], [200, 40, 0, true]);
  assert.deepEqual(totals.at(-1), { provider_id: 'birch', before: 40 - changes.length, after: 40 });
  const none = await api.ask('POST', path, { body: { document: OTHER, until: '2020-01-01T00:00:00Z' } });
  assert.equal(none.json['records'], 0);
  assert.equal((await api.ask('POST', path, { body: { document: OTHER, limit: 1 } })).json['is_complete'], false);
  const filter = "request.id in ['req_1', 'req_2']";
  assert.equal((await api.ask('POST', path, { body: { document: OTHER, filter } })).json['records'], 2);
  for (const [body, code] of [
    [{ document: OTHER, since: 'yesterday' }, 400],
    [{ document: OTHER, limit: 5_001 }, 400],
    [{ document: OTHER, filter: 7 }, 400],
    [{ document: OTHER, filter: 'request.' }, 400],
    [{ document: {} }, 422],
  ] as const)
    assert.equal((await api.ask('POST', path, { body })).status, code, JSON.stringify(body));
});

test('a breaker is reset', async () => {
  await using api = await open('operator');
  api.breakers.force('acme', 'alder', 'force_open', systemClock.nowMs());
  const { status, json } = await api.ask('POST', '/providers/alder/breaker/reset');
  assert.equal(status, 200);
  assert.deepEqual(json, { tenant_id: 'acme', provider_id: 'alder', state: 'closed', mode: 'auto' });
  assert.equal((await api.ask('POST', '/providers/oak/breaker/reset')).status, 404);
});

const ROUTES: readonly (readonly [method: string, path: string, viewer: boolean, operator: boolean])[] = [
  ['GET', '/policies/acme', true, true],
  ['POST', '/policies/acme', false, true],
  ['GET', '/policies/acme/support', true, true],
  ['PUT', '/policies/acme/support', false, true],
  ['DELETE', '/policies/acme/support', false, false],
  ['GET', '/policies/acme/support/versions', true, true],
  ['GET', '/policies/acme/support/versions/1', true, true],
  ['POST', '/policies/acme/support/rollback', false, true],
  ['POST', '/policies/acme/validate', false, true],
  ['GET', '/policies/acme/support/complexity', true, true],
  ['POST', '/policies/acme/support/explain', false, true],
  ['POST', '/policies/acme/support/dry-run', false, true],
  ['POST', '/policies/acme/support/replay', false, true],
  ['POST', '/policies/dry-run', false, true],
  ['POST', '/providers/alder/breaker/reset', false, true],
];

for (const role of ['viewer', 'operator', 'service'] as const) {
  test(`the role ${role} reaches what it may, and nothing else`, async () => {
    await using api = await open(role);
    for (const [method, path, viewer, operator] of ROUTES) {
      const { status } = await api.ask(method, path, method === 'GET' ? {} : { body: {} });
      const isGranted = { viewer, operator, service: false }[role];
      assert.equal(status !== 403, isGranted, `${method} ${path}: ${status}`);
      assert.notEqual(status, 500, `${method} ${path}`);
    }
  });
}

test('what belongs to another tenant is not there, and looks like what is missing', async () => {
  await using api = await open('admin', ['acme', 'beta']);
  const { ask } = api;
  for (const [method, path] of ROUTES) {
    if (!path.startsWith('/policies/acme')) continue;
    const foreign = await ask(method, path.replace('acme', 'zeta'), method === 'GET' ? {} : { body: DOCUMENT });
    assert.deepEqual([foreign.status, errorOf(foreign).code], [404, 'policy_not_found'], `${method} ${path}`);
  }
  const missing = await ask('GET', '/policies/acme/support');
  const foreign = await ask('GET', '/policies/zeta/support');
  assert.deepEqual(errorOf(missing), errorOf(foreign));
  const other = await ask('GET', '/policies/acme', { headers: { 'x-tenant-id': 'beta' } });
  assert.equal(other.status, 403);
  assert.equal((await ask('POST', '/policies/dry-run', { body: {} })).status, 400);
});

const IDS = ['support', 'a%2Fb', '%00', '..%2F..%2Fetc', '%zz', 'a b', 'x'.repeat(300), '%F0%9F%8C%B2', '-', "'--"];
const BODIES: readonly unknown[] = [
  '',
  '{',
  '[]',
  'null',
  {},
  DOCUMENT,
  { document: DOCUMENT, request: { task: TASK }, revision: 1e300 },
  { request: { task: 1 }, snapshot: { open: 7 }, document: 1 },
  { request: { task: TASK, request_id: '' }, seed: '' },
  { request: { task: TASK }, document: DOCUMENT, snapshot: { latency_ms: { a: -1 } }, time_ms: -1 },
  { request: { task: TASK }, extensions: 'call' },
  { request_id: 'rq-1' },
  { revision: 'one' },
  { ...DOCUMENT, policy_id: '../../etc' },
  { ...DOCUMENT, policy_id: 7 },
];
const HEADERS: readonly Record<string, string>[] = [
  {},
  { 'if-match': '"7"' },
  { 'if-match': '"0"' },
  { 'if-match': '*' },
  { 'if-match': 'seven' },
  { 'if-none-match': '*' },
  { 'if-none-match': '"1"' },
  { 'if-match': '"1"', 'if-none-match': '*' },
];

test('no input is answered 500', async () => {
  await using api = await open();
  for (const [method, path] of ROUTES) {
    for (const id of IDS) {
      const at = path.replace('support', id).replace('alder', id);
      const { status, text } = await api.ask(method, at, method === 'GET' ? {} : { body: DOCUMENT });
      assert.notEqual(status, 500, `${method} ${at}: ${text}`);
    }
    for (const body of method === 'GET' ? [] : BODIES) {
      const { status, text } = await api.ask(method, path, { body });
      assert.notEqual(status, 500, `${method} ${path} ${JSON.stringify(body)}: ${text}`);
    }
    for (const headers of HEADERS) {
      const { status, text } = await api.ask(
        method,
        path,
        method === 'GET' ? { headers } : { headers, body: DOCUMENT },
      );
      assert.notEqual(status, 500, `${method} ${path} ${JSON.stringify(headers)}: ${text}`);
    }
  }
  for (const query of ['limit=0', 'limit=201', 'limit=x', `cursor=${'x'.repeat(600)}`]) {
    assert.equal((await api.ask('GET', `/policies/acme?${query}`)).status, 400, query);
  }
});

const PRECONDITIONS: readonly (readonly [Record<string, string>, number])[] = [
  [{ 'if-match': '"2"' }, 412],
  [{ 'if-match': '"0"' }, 412],
  [{ 'if-match': '"one"' }, 412],
  [{ 'if-none-match': '*' }, 412],
  [{ 'if-none-match': '"1"' }, 400],
  [{ 'if-match': '"1"', 'if-none-match': '*' }, 400],
  [{ 'if-match': '"1"' }, 200],
];

test('a write holds to what its caller has seen', async () => {
  await using api = await open();
  await api.ask('PUT', '/policies/acme/support', { body: DOCUMENT, headers: { 'if-none-match': '*' } });
  for (const [headers, status] of PRECONDITIONS) {
    const answer = await api.ask('PUT', '/policies/acme/support', { body: OTHER, headers });
    assert.equal(answer.status, status, JSON.stringify(headers));
  }
  assert.equal((await api.ask('DELETE', '/policies/acme/support', { headers: { 'if-match': '"1"' } })).status, 412);
});

test('without a router the answer is 503', async () => {
  await using api = await open();
  await Promise.all(api.served.map((one) => one.drain()));
  const answer = await api.ask('GET', '/policies/acme');
  assert.deepEqual([answer.status, errorOf(answer).code], [503, 'unavailable']);
});

test('a credential in x-api-key reaches the router too', async () => {
  await using api = await open();
  const response = await fetch(`${api.edge.url}/api/v1/policies/acme`, { headers: { 'x-api-key': api.edge.key } });
  assert.equal(response.status, 200);
  await response.text();
});
