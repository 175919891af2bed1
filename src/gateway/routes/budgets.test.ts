import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openMemoryBus } from '../../bus/memory.ts';
import { type Budget, type BudgetAccount, budgetBucket, budgetKey, definitionKey } from '../../contracts/budget.ts';
import { systemClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { BudgetDefinitions } from '../../limit/budget-definitions.ts';
import { newEntry, withLease, withSettled } from '../../limit/budget-entry.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { BudgetBook } from '../budget-book.ts';
import { openEdge, until } from '../edge-fixture.ts';

const configured: Budget = {
  id: 'house',
  tenant_id: 'acme',
  scope: 'tenant',
  subject: '-',
  unit: 'micro_usd',
  limit: 500,
  window: 'total',
  action: 'block',
  warn_at: 0.5,
};
const lines: string[] = [];
const timers = new Timers(systemClock, { tickMs: 5 });
const log = openLog('info', { write: (line) => void lines.push(line) });
const bus = openMemoryBus({ timers, telemetry: { log, metrics: new Metrics() } });
const bucket = await bus.openBucket(budgetBucket);
const edge = await openEdge({ role: 'admin', bus, budgets: [configured] });
const viewer = await openEdge({ role: 'viewer', bus, budgets: [configured] });
const foreign = await openEdge({ role: 'admin', bus, tenants: ['umbra'] });
after(async () => {
  for (const one of [edge, viewer, foreign]) await one[Symbol.asyncDispose]();
  await bus.drain();
  timers[Symbol.dispose]();
});

interface Answer {
  readonly status: number;
  readonly location: string | null;
  readonly body: Record<string, unknown>;
}

async function send(method: string, path: string, body?: object, from = edge): Promise<Answer> {
  const { 'content-type': _, ...bare } = from.headers;
  const response = await fetch(`${from.url}/api/v1/budgets${path}`, {
    method,
    headers: body === undefined ? bare : from.headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const parsed = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
  return { status: response.status, location: response.headers.get('location'), body: parsed };
}

const codeOf = ({ status, body }: Answer) => [status, (body['error'] as { code?: string } | undefined)?.code];

test('a budget is made, read, changed and deleted; every gateway hears of each', async () => {
  const made = await send('POST', '', { id: 'team', limit: 100, window: 'hour' });
  assert.deepEqual([made.status, made.location], [201, '/api/v1/budgets/team']);
  const { resets_at: resetsAt, ...rest } = made.body;
  assert.deepEqual(rest, {
    id: 'team',
    tenant_id: 'acme',
    scope: 'tenant',
    unit: 'micro_usd',
    limit: 100,
    window: 'hour',
    action: 'block',
    warn_at: 0.8,
    source: 'api',
    spent: 0,
    reserved: 0,
    remaining: 100,
  });
  assert.ok(Date.parse(String(resetsAt)) > Date.now());
  const seen = async () => (await send('GET', '/team', undefined, viewer)).body['limit'];
  while ((await seen()) !== 100) await new Promise(setImmediate);

  const changed = await send('PATCH', '/team', { limit: 7, action: 'warn' });
  assert.deepEqual([changed.status, changed.body['limit'], changed.body['action']], [200, 7, 'warn']);
  while ((await seen()) !== 7) await new Promise(setImmediate);

  assert.equal((await send('DELETE', '/team')).status, 204);
  while ((await seen()) !== undefined) await new Promise(setImmediate);
  assert.deepEqual(codeOf(await send('DELETE', '/team')), [404, 'not_found']);
  assert.deepEqual(codeOf(await send('PATCH', '/team', { limit: 1 })), [404, 'not_found']);
});

test('spent and reserved are those of the window of now, and deleting takes them along', async () => {
  assert.equal((await send('POST', '', { id: 'quota', limit: 10, window: 'total', scope: 'key' })).status, 201);
  const account: BudgetAccount = {
    tenant_id: 'acme',
    budget_id: 'quota',
    scope: 'key',
    subject: 'k-1',
    unit: 'micro_usd',
    from_ms: 0,
  };
  const entry = withLease(newEntry(account, 10), 'gw-1', { amount: 3, holdUntilMs: Date.now() + 60_000 });
  const settled = withSettled(entry, { settled: 4, watermarkMs: 1, isHeld: () => true });
  const other = { ...account, subject: 'k-2' };
  await bucket.put(budgetKey(account), JSON.stringify(settled));
  await bucket.put(budgetKey(other), JSON.stringify({ ...newEntry(other, 10), settled: 10 }));
  // Left by a budget of this id that counted something else.
  const past = { ...account, subject: 'k-3', unit: 'tokens' as const };
  await bucket.put(budgetKey(past), JSON.stringify({ ...newEntry(past, 10), settled: 99 }));
  const { body } = await send('GET', '/quota');
  assert.deepEqual(
    [body['spent'], body['reserved'], body['remaining'], body['resets_at'], body['subject'], body['accounts']],
    [
      14,
      3,
      0,
      null,
      '*',
      [
        { subject: 'k-2', spent: 10, reserved: 0, remaining: 0 },
        { subject: 'k-1', spent: 4, reserved: 3, remaining: 3 },
      ],
    ],
  );
  await send('DELETE', '/quota');
  assert.deepEqual(
    (await bucket.entries()).filter(({ key }) => key.includes('quota')),
    [],
  );
});

test('the budgets of the configuration are only read', async () => {
  assert.deepEqual((await send('GET', '/house')).body['source'], 'configuration');
  assert.deepEqual(codeOf(await send('POST', '', { id: 'house', limit: 1 })), [409, 'conflict']);
  assert.deepEqual(codeOf(await send('PATCH', '/house', { limit: 1 })), [409, 'conflict']);
  assert.deepEqual(codeOf(await send('DELETE', '/house')), [409, 'conflict']);
});

test('a list goes page by page; another tenant sees nothing of it', async () => {
  for (const id of ['b', 'a', 'c']) assert.equal((await send('POST', '', { id, limit: 1 })).status, 201);
  const first = await send('GET', '?limit=2');
  const ids = ({ body }: Answer) => (body['data'] as { id: string }[]).map(({ id }) => id);
  const { next_cursor: cursor } = first.body['pagination'] as { next_cursor: string };
  assert.deepEqual([ids(first), cursor], [['a', 'b'], 'b']);
  assert.deepEqual(ids(await send('GET', `?limit=2&cursor=${cursor}`)), ['c', 'house']);
  assert.deepEqual(ids(await send('GET', '', undefined, foreign)), []);
  assert.deepEqual(codeOf(await send('GET', '/a', undefined, foreign)), [404, 'not_found']);
  assert.deepEqual(codeOf(await send('DELETE', '/a', undefined, foreign)), [404, 'not_found']);
  assert.deepEqual(codeOf(await send('POST', '', { id: 'a', limit: 2 })), [409, 'conflict']);
});

test('whoever may only read makes, changes and deletes nothing', async () => {
  assert.deepEqual(codeOf(await send('POST', '', { id: 'x', limit: 1 }, viewer)), [403, 'forbidden']);
  assert.deepEqual(codeOf(await send('PATCH', '/a', { limit: 1 }, viewer)), [403, 'forbidden']);
  assert.deepEqual(codeOf(await send('DELETE', '/a', undefined, viewer)), [403, 'forbidden']);
  assert.equal((await send('GET', '/a', undefined, viewer)).status, 200);
});

const REFUSED: readonly (readonly [what: string, body: object, path: string | undefined])[] = [
  ['no id', { limit: 1 }, 'id'],
  ['an id with a slash', { id: 'policy/p/b', limit: 1 }, 'id'],
  ['no limit', { id: 'x' }, 'limit'],
  ['a limit below 0', { id: 'x', limit: -1 }, 'limit'],
  ['a unit that does not exist', { id: 'x', limit: 1, unit: 'euro' }, 'unit'],
  ['a subject of a tenant', { id: 'x', limit: 1, subject: 'me' }, 'subject'],
  ['a tag that no usage is counted by', { id: 'x', limit: 1, scope: 'tag', subject: 'two words' }, 'subject'],
  ['a share above 1', { id: 'x', limit: 1, warn_at: 2 }, 'warn_at'],
  ['a field that does not exist', { id: 'x', limit: 1, limits: 2 }, 'limits'],
];

for (const [what, body, path] of REFUSED) {
  test(`${what} is refused by its field`, async () => {
    const answer = await send('POST', '', body);
    assert.deepEqual(codeOf(answer), [400, 'invalid_request']);
    const { details } = answer.body['error'] as { details: { fields: { path: string }[] } };
    assert.equal(details.fields[0]?.path, path);
  });
}

test('a budget may be about a provider or a tag as about a key', async () => {
  for (const scope of ['provider', 'tag']) {
    const { status, body } = await send('POST', '', { id: `of-${scope}`, limit: 1, scope, subject: 'alder' });
    assert.deepEqual([status, body['scope'], body['subject']], [201, scope, 'alder']);
    assert.equal((await send('DELETE', `/of-${scope}`)).status, 204);
  }
});

test('what makes it another budget cannot be changed', async () => {
  assert.deepEqual(codeOf(await send('PATCH', '/a', { unit: 'tokens' })), [400, 'invalid_request']);
  assert.deepEqual(codeOf(await send('PATCH', '/a', {})), [400, 'invalid_request']);
});

test('a book that is opened knows what is stored already', async () => {
  await bucket.put(definitionKey({ tenant_id: 'acme', id: 'old' }), JSON.stringify({ ...configured, id: 'old' }));
  const definitions = new BudgetDefinitions();
  await using book = await BudgetBook.open({ bus, timers, log, definitions });
  assert.equal(book.find('acme', 'old').limit, 500);
});

test('a definition that cannot be read is told and passed over; one of the configuration wins', async () => {
  const definitions = new BudgetDefinitions([configured]);
  await using book = await BudgetBook.open({ bus, timers, log, definitions });
  void book;
  await bucket.put(definitionKey({ tenant_id: 'acme', id: 'bad' }), '{"id":"bad"}');
  await bucket.put(definitionKey(configured), JSON.stringify({ ...configured, limit: 1 }));
  await bucket.put(definitionKey({ tenant_id: 'acme', id: 'z' }), JSON.stringify({ ...configured, id: 'z' }));
  await until(() => definitions.find('acme', 'z') !== undefined);
  assert.equal(definitions.find('acme', 'house')?.limit, 500);
  assert.equal(definitions.find('acme', 'bad'), undefined);
  assert.match(lines.join(''), /budget_unreadable/);
  assert.match(lines.join(''), /budget_of_configuration_wins/);
});
