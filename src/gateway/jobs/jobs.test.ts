import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { BeamlineError } from '../../core/errors.ts';
import { codeOf, detailsOf, fieldOf, openWorld, TASK } from './jobs-fixture.ts';

const JOB_ID = /^job_[0-9A-HJKMNP-TV-Z]{26}$/;

const shared = await openWorld();
after(() => shared[Symbol.asyncDispose]());

test('a job is accepted with its place, and read back as it was ordered', async () => {
  const { send, router } = shared;
  const answer = await send('POST', '/api/v1/jobs', {
    task: TASK,
    policy_id: 'support',
    priority: 'high',
    deadline_ms: 60_000,
    metadata: { ticket: 'T-881' },
    tags: ['support'],
    trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
    run_id: 'r',
    flow_id: 'f',
    step_id: 's',
    a_member_of_tomorrow: 1,
  });
  assert.equal(answer.status, 202);
  const { body } = answer;
  assert.match(String(body['id']), JOB_ID);
  assert.equal(answer.headers.get('location'), `/api/v1/jobs/${String(body['id'])}`);
  assert.deepEqual(
    [body['status'], body['type'], body['policy_id'], body['priority'], body['metadata'], body['tags'], body['run_id']],
    ['pending', 'chat.completion', 'support', 75, { ticket: 'T-881' }, ['support'], 'r'],
  );
  const asked = router.asked.at(-1);
  assert.deepEqual(
    [asked?.push_assignment, asked?.deliver_to, asked?.idempotency_key, asked?.task.type, asked?.job?.type],
    [true, undefined, body['id'], 'ai.chat', 'chat.completion'],
  );
  assert.deepEqual((await send('GET', `/api/v1/jobs/${String(body['id'])}`)).body, body);
});

test('the sizes of the body and of the task are told with the work, those of blocks too', async () => {
  const { send, router } = shared;
  const body = { task: { ...TASK, payload: { ...TASK.payload, note: 'é' } }, idempotency_key: 'sizes' };
  const bytes = Buffer.byteLength(JSON.stringify(body));
  assert.equal((await send('POST', '/api/v1/jobs', body)).status, 202);
  const { size_bytes, task_size_bytes } = router.asked.at(-1)?.estimate ?? {};
  assert.deepEqual([size_bytes, task_size_bytes], [bytes, Buffer.byteLength(JSON.stringify(body.task.payload))]);
  await send('POST', '/api/v1/jobs', { task: { type: 'test.echo', payload: { a: 1 } } });
  const { estimate } = router.asked.at(-1) ?? {};
  assert.deepEqual(Object.keys(estimate ?? {}).toSorted(), ['size_bytes', 'task_size_bytes']);
});

test('a message is a job whose type is the message type', async () => {
  const { send, router } = shared;
  const answer = await send('POST', '/api/v1/messages', {
    message: { message_id: 'm-1', message_type: 'test.echo', payload: { a: 1 }, metadata: { from: 'mail' } },
    metadata: { to: 'us' },
  });
  assert.equal(answer.status, 202);
  assert.match(answer.headers.get('location') ?? '', /^\/api\/v1\/jobs\/job_/);
  assert.deepEqual(answer.body['metadata'], { from: 'mail', message_id: 'm-1', to: 'us' });
  assert.equal(router.asked.at(-1)?.task.type, 'test.echo');
});

test('an Anthropic body under the wrong base path is told where it belongs', async () => {
  const answer = await shared.send('POST', '/api/v1/messages', { model: 'm', messages: [] });
  assert.deepEqual(
    [answer.status, codeOf(answer), detailsOf(answer)['path']],
    [400, 'invalid_request', '/v1/messages'],
  );
});

test('a repeat with the same key is the same job, and another body is refused', async () => {
  const { send } = shared;
  const first = await send('POST', '/api/v1/jobs', { task: TASK }, { 'idempotency-key': 'k-1' });
  const again = await send('POST', '/api/v1/jobs', { task: TASK, idempotency_key: 'k-1' });
  assert.deepEqual([first.status, again.status, again.body['id']], [202, 202, first.body['id']]);
  assert.deepEqual(
    [first.headers.get('idempotency-replayed'), again.headers.get('idempotency-replayed')],
    [null, 'true'],
  );
  assert.equal(again.body['idempotency_key'], 'k-1');
  const other = await send(
    'POST',
    '/api/v1/jobs',
    { task: { ...TASK, payload: { messages: [] } } },
    { 'idempotency-key': 'k-1' },
  );
  assert.deepEqual([other.status, codeOf(other)], [409, 'idempotency_conflict']);
});

test('headers tag a job and say how urgent it is, where its body does not', async () => {
  const { send } = shared;
  const headers = { 'x-beamline-tags': 'lakes, rivers', 'x-beamline-priority': 'high' };
  const tagged = await send('POST', '/api/v1/jobs', { task: TASK }, headers);
  assert.deepEqual([tagged.status, tagged.body['tags'], tagged.body['priority']], [202, ['lakes', 'rivers'], 75]);
  const own = await send('POST', '/api/v1/jobs', { task: TASK, tags: ['own'], priority: 5 }, headers);
  assert.deepEqual([own.body['tags'], own.body['priority']], [['own'], 5]);
});

test('a question that was lost is asked again under the same id', async () => {
  await using world = await openWorld();
  const { send, router } = world;
  router.moods.push(new BeamlineError('timeout', 'lost'), 'keep');
  // A router's own refusal is no lost question.
  assert.equal((await send('POST', '/api/v1/jobs', { task: TASK })).status, 504);
  router.moods.length = 0;
  router.moods.push('keep_silently');
  const answer = await send('POST', '/api/v1/jobs', { task: TASK }, { 'x-beamline-timeout-ms': '300' });
  assert.equal(answer.status, 202, 'the record shows that it was accepted');
  router.moods.push('silent');
  const lost = await send('POST', '/api/v1/jobs', { task: TASK }, { 'x-beamline-timeout-ms': '300' });
  assert.deepEqual([lost.status, codeOf(lost)], [504, 'timeout']);
  assert.match(String(detailsOf(lost)['job_id']), JOB_ID);
});

test('a full queue is the limit of the tenant; nobody at the router is told at once', async () => {
  await using world = await openWorld();
  const { send, router } = world;
  router.moods.push(new BeamlineError('queue_full', 'enough', { retryAfterMs: 7_000, details: { scope: 'quota' } }));
  const full = await send('POST', '/api/v1/jobs', { task: TASK });
  assert.deepEqual([full.status, codeOf(full), full.headers.get('retry-after')], [429, 'rate_limit_exceeded', '7']);
  assert.equal(detailsOf(full)['scope'], 'quota');
  await router[Symbol.asyncDispose]();
  const gone = await send('POST', '/api/v1/jobs', { task: TASK });
  assert.deepEqual([gone.status, codeOf(gone)], [503, 'unavailable']);
});

test('states are shown in the words of the API', async () => {
  const { send, order, router } = shared;
  const id = await order();
  const seen = async () => (await send('GET', `/api/v1/jobs/${id}`)).body['status'];
  await router.move('acme', id, 'queued', { waiting_for: 'approval' });
  assert.equal(await seen(), 'waiting');
  await router.move('acme', id, 'running');
  assert.equal(await seen(), 'processing');
  await router.move('acme', id, 'retry_wait');
  assert.equal(await seen(), 'processing');
  await router.move('acme', id, 'timed_out', {
    error: { code: 'timeout', message: 'too late', retryable: false },
  });
  const { body } = await send('GET', `/api/v1/jobs/${id}`);
  assert.deepEqual(
    [body['status'], (body['error'] as { code: string }).code, body['result']],
    ['expired', 'timeout', null],
  );
});

test('a caller who waits gets the job when it has ended', async () => {
  const { send, order, router } = shared;
  const id = await order();
  const waiting = send('GET', `/api/v1/jobs/${id}`, undefined, { prefer: 'wait=60' });
  await router.move('acme', id, 'running');
  await router.move('acme', id, 'succeeded', { result: { output: { a: 1 } } });
  const { status, headers, body } = await waiting;
  assert.deepEqual([status, body['status'], body['result']], [200, 'completed', { output: { a: 1 } }]);
  assert.equal(headers.get('preference-applied'), 'wait=60');
  const shortly = await send('GET', `/api/v1/jobs/${await order()}`, undefined, { prefer: 'wait=0' });
  assert.equal(shortly.body['status'], 'pending');
});

test('lists are narrowed, paged and newest first', async () => {
  await using world = await openWorld();
  const { send, order, router } = world;
  const ids: string[] = [];
  for (let n = 0; n < 5; n++)
    ids.push(await order({ tags: [n % 2 === 0 ? 'even' : 'odd'], metadata: { n: `number-${n}` } }));
  await router.move('acme', ids[0] ?? '', 'succeeded');
  const list = async (query: string): Promise<{ ids: string[]; next: string | null }> => {
    const { status, body } = await send('GET', `/api/v1/jobs?${query}`);
    assert.equal(status, 200, JSON.stringify(body));
    const { next_cursor } = body['pagination'] as { next_cursor: string | null };
    return { ids: (body['data'] as { id: string }[]).map(({ id }) => id), next: next_cursor };
  };
  const sorted = (found: { ids: string[] }): string[] => found.ids.toSorted();
  assert.deepEqual(sorted(await list('')), ids.toSorted());
  assert.deepEqual(sorted(await list('tag=odd')), [ids[1] ?? '', ids[3] ?? ''].toSorted());
  assert.deepEqual((await list('status=completed')).ids, [ids[0]]);
  assert.equal((await list('status=pending')).ids.length, 4);
  assert.deepEqual((await list('search=NUMBER-3')).ids, [ids[3]]);
  assert.equal((await list('type=chat.completion')).ids.length, 5);
  assert.equal((await list('type=ai.embed')).ids.length, 0);
  assert.equal((await list('since=2100-01-01T00:00:00Z')).ids.length, 0);
  const seen: string[] = [];
  let next: string | null = null;
  do {
    const page = await list(`limit=2${next === null ? '' : `&cursor=${encodeURIComponent(next)}`}`);
    seen.push(...page.ids);
    next = page.next;
  } while (next !== null);
  assert.deepEqual([seen.length, seen.toSorted()], [5, ids.toSorted()]);
  const [first] = (await send('GET', '/api/v1/jobs')).body['data'] as Record<string, unknown>[];
  assert.equal(first !== undefined && 'result' in first, false);
});

test('metadata and tags may change, and nothing else', async () => {
  const { send, order } = shared;
  const id = await order({ tags: ['a'] });
  const { status, body } = await send('PATCH', `/api/v1/jobs/${id}`, { tags: ['b'], metadata: { x: 1 } });
  assert.deepEqual([status, body['tags'], body['metadata']], [200, ['b'], { x: 1 }]);
  const refused = await send('PATCH', `/api/v1/jobs/${id}`, { priority: 1 });
  assert.deepEqual([refused.status, fieldOf(refused)], [400, 'priority']);
});

test('only what has ended is deleted, and then it is gone', async () => {
  const { send, order, router } = shared;
  const id = await order();
  assert.equal(codeOf(await send('DELETE', `/api/v1/jobs/${id}`)), 'conflict');
  await router.move('acme', id, 'failed', { error: { code: 'internal', message: '', retryable: false } });
  assert.equal((await send('DELETE', `/api/v1/jobs/${id}`)).status, 204);
  assert.equal(codeOf(await send('GET', `/api/v1/jobs/${id}`)), 'not_found');
});

test('a cancel takes effect or is under way; once more it is 200; what ended otherwise is a conflict', async () => {
  const { send, order, router } = shared;
  const [queued, running, done] = [await order(), await order(), await order()];
  const cancel = (id: string) => send('POST', `/api/v1/jobs/${id}/cancel`);
  const first = await cancel(queued);
  assert.deepEqual([first.status, first.body['status']], [202, 'cancelled']);
  assert.equal((await cancel(queued)).status, 200);
  await router.move('acme', running, 'running');
  assert.equal((await cancel(running)).status, 202);
  await router.move('acme', done, 'succeeded');
  assert.deepEqual(codeOf(await cancel(done)), 'conflict');
});

test('a retry is a new job that names the old one', async () => {
  const { send, order, router } = shared;
  const id = await order({ tags: ['x'], deadline_ms: 5_000 });
  assert.equal(codeOf(await send('POST', `/api/v1/jobs/${id}/retry`)), 'conflict');
  await router.move('acme', id, 'cancelled');
  const { status, body, headers } = await send('POST', `/api/v1/jobs/${id}/retry`);
  assert.equal(status, 202);
  assert.deepEqual([body['retry_of'], body['tags'], body['status']], [id, ['x'], 'pending']);
  assert.notEqual(body['id'], id);
  assert.equal(headers.get('location'), `/api/v1/jobs/${String(body['id'])}`);
  assert.equal(router.asked.at(-1)?.deadline_ms, 5_000);
  const [a, b] = [1, 2].map(() => send('POST', `/api/v1/jobs/${id}/retry`, undefined, { 'idempotency-key': 'once' }));
  assert.equal((await a)?.body['id'], (await b)?.body['id']);
});

test('many jobs are acted on at once, with an outcome each, in both vocabularies', async () => {
  const { send, order, router } = shared;
  const [a, b] = [await order(), await order()];
  await router.move('acme', b, 'succeeded');
  const { status, body } = await send('POST', '/api/v1/jobs/bulk', { action: 'cancel', ids: [a, b, 'job_none'] });
  assert.equal(status, 200);
  assert.deepEqual(
    (body['data'] as { id: string; status: number; ok: boolean }[]).map(({ id, status: of, ok }) => [id, of, ok]),
    [
      [a, 202, true],
      [b, 409, false],
      ['job_none', 404, false],
    ],
  );
  const gone = await send('POST', '/api/v1/messages/bulk_delete', { message_ids: [a] });
  assert.deepEqual((gone.body['data'] as { status: number }[])[0]?.status, 204);
  const retried = await send('POST', '/api/v1/messages/bulk', { action: 'bulk_retry', message_ids: [b] });
  assert.deepEqual((retried.body['data'] as { status: number }[])[0]?.status, 409);
});

test('a service key may not delete in bulk, nor export', async () => {
  await using world = await openWorld({ role: 'service' });
  const { send, order } = world;
  const id = await order();
  assert.equal(codeOf(await send('POST', '/api/v1/jobs/bulk', { action: 'delete', ids: [id] })), 'forbidden');
  assert.equal(codeOf(await send('POST', '/api/v1/jobs/export', {})), 'forbidden');
  assert.equal(codeOf(await send('DELETE', `/api/v1/jobs/${id}`)), 'forbidden');
  assert.equal((await send('GET', `/api/v1/jobs/${id}`)).status, 200);
});

test('an export streams every job as lines of JSON or of a table', async () => {
  await using world = await openWorld();
  const { edge, order } = world;
  const ids: string[] = [];
  for (let n = 0; n < 40; n++) ids.push(await order({ metadata: { note: '=1+1, "so"' } }));
  const fetched = async (body: object) => {
    const response = await fetch(`${edge.url}/api/v1/jobs/export`, {
      method: 'POST',
      headers: edge.headers,
      body: JSON.stringify(body),
    });
    return { type: response.headers.get('content-type'), text: await response.text(), headers: response.headers };
  };
  const json = await fetched({});
  const rows = json.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { id: string });
  assert.equal(json.headers.get('content-disposition'), 'attachment; filename="jobs.ndjson"');
  assert.deepEqual(rows.map(({ id }) => id).toSorted(), ids.toSorted());
  const csv = await fetched({ format: 'csv' });
  const lines = csv.text.trimEnd().split('\r\n');
  assert.deepEqual([csv.type, lines.length, lines[0]?.split(',')[0]], ['text/csv; charset=utf-8', 41, 'id']);
  assert.match(lines[1] ?? '', /"\{""note"":""=1\+1, \\""so\\""""\}"/);
});

test('the jobs of one tenant are not there for another', async () => {
  await using world = await openWorld({ tenants: ['acme', 'other'] });
  const { send } = world;
  const acme = { 'x-tenant-id': 'acme' };
  const other = { 'x-tenant-id': 'other' };
  const made = await send('POST', '/api/v1/jobs', { task: TASK }, { ...acme, 'idempotency-key': 'same' });
  const id = String(made.body['id']);
  const paths: readonly (readonly [string, string, unknown?])[] = [
    ['GET', `/api/v1/jobs/${id}`],
    ['GET', `/api/v1/jobs/${id}/events`],
    ['PATCH', `/api/v1/jobs/${id}`, { tags: [] }],
    ['DELETE', `/api/v1/jobs/${id}`],
    ['POST', `/api/v1/jobs/${id}/retry`],
    ['POST', `/api/v1/jobs/${id}/cancel`],
  ];
  for (const [method, path, body] of paths) {
    const answer = await send(method, path, body, other);
    assert.deepEqual([path, answer.status, codeOf(answer)], [path, 404, 'not_found']);
  }
  assert.deepEqual((await send('GET', '/api/v1/jobs', undefined, other)).body['data'], []);
  const own = await send('POST', '/api/v1/jobs', { task: TASK }, { ...other, 'idempotency-key': 'same' });
  assert.notEqual(own.body['id'], id);
});

test('the words of a dialect are told with the work, whatever its type is called', async () => {
  const { send, router } = shared;
  for (const [type, dialect] of [
    ['embedding', 'openai.embeddings'],
    ['ai.chat', 'openai.chat'],
    ['constructor', undefined],
  ] as const) {
    // eslint-disable-next-line no-await-in-loop -- one after the other
    assert.equal((await send('POST', '/api/v1/jobs', { task: { type, payload: { input: 'a' } } })).status, 202);
    assert.equal(router.asked.at(-1)?.dialect, dialect);
  }
});
