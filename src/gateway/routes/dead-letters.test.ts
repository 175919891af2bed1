import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Role } from '../../auth/principal.ts';
import { FINAL, giveLetter, LETTER_BODY } from '../../bus/letter-fixture.ts';
import { openMemoryBus } from '../../bus/memory.ts';
import { deadLetterStream, resultStream } from '../../contracts/streams.ts';
import { systemClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { type EdgeFixture, openEdge } from '../edge-fixture.ts';

interface Told {
  readonly id: string;
  readonly message_id: string;
  readonly outcome: string;
  readonly reason?: string;
}
interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: {
    readonly data: readonly Told[];
    readonly pagination: { readonly next_cursor: string | null; readonly has_more: boolean };
    readonly error: { readonly code: string; readonly message: string };
  } & Told &
    Readonly<Record<string, unknown>>;
}

async function open() {
  await using opening = new AsyncDisposableStack();
  const timers = opening.use(new Timers(systemClock, { tickMs: 5 }));
  const bus = openMemoryBus({
    timers,
    telemetry: { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() },
  });
  for (const stream of [deadLetterStream, resultStream]) await bus.ensureStream(stream);
  const edgeOf = async (tenant: string, role: Role) => opening.use(await openEdge({ bus, tenants: [tenant], role }));
  const edge = await edgeOf('kestrel', 'operator');
  const foreign = await edgeOf('osprey', 'admin');
  const viewer = await edgeOf('kestrel', 'viewer');
  const opened = opening.move();
  return {
    bus,
    edge,
    foreign,
    viewer,
    results: () => bus.read(resultStream, { fromSeq: 1, limit: 999 }),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function ask({ url, headers }: EdgeFixture, call: string, body?: object): Promise<Answer> {
  const [method = '', path = ''] = call.split(' ');
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await fetch(`${url}/api/v1/dlq${path}`, { method, headers, ...sent });
  const text = await response.text();
  return { status: response.status, text, json: (text === '' ? {} : JSON.parse(text)) as Answer['json'] };
}

const namesIn = ({ json }: Answer): readonly string[] => json.data.map(({ message_id }) => message_id);
const outcomesIn = ({ json }: Answer) => json.data.map(({ message_id, outcome }) => [message_id, outcome]);

test('letters are listed newest first by page, narrowed, and without bodies', async () => {
  await using it = await open();
  for (let number = 1; number <= 40; number++) {
    await giveLetter(it.bus, `dlq:CAF_RESULT:${number}`, {
      ...(number % 10 === 0 ? { error: FINAL } : {}),
      ...(number % 2 === 0 ? {} : { tenant_id: 'osprey' }),
      delivery: { count: 11, limit: 10, first_seen_ms: 1, last_seen_ms: number * 1_000 },
    });
  }
  for (const seq of [30, 31, 32, 33, 34]) await it.bus.remove(deadLetterStream, seq);
  const seen: string[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: Answer = await ask(it.edge, `GET ?limit=7${cursor === '' ? '' : `&cursor=${cursor}`}`);
    assert.equal(page.status, 200, page.text);
    assert.ok(!page.text.includes(Buffer.from(LETTER_BODY).toString('base64')));
    seen.push(...namesIn(page));
    ({ next_cursor: cursor } = page.json.pagination);
  }
  const own = Array.from({ length: 20 }, (_, at) => 40 - 2 * at).filter((number) => number < 30 || number > 34);
  assert.deepEqual(
    seen,
    own.map((number) => `dlq:CAF_RESULT:${number}`),
  );
  const narrowed = await ask(it.edge, 'GET ?class=validation&code=PARSE_ERROR&subject=caf.exec.result.v1');
  assert.deepEqual(namesIn(narrowed), ['dlq:CAF_RESULT:40', 'dlq:CAF_RESULT:20', 'dlq:CAF_RESULT:10']);
  const between = await ask(it.edge, 'GET ?since=1970-01-01T00:00:04Z&until=1970-01-01T00:00:08Z');
  assert.deepEqual(namesIn(between), ['dlq:CAF_RESULT:6', 'dlq:CAF_RESULT:4']);
});

test('a page looks at two thousand letters at most, and the next one goes on', async () => {
  await using it = await open();
  await giveLetter(it.bus, 'dlq:CAF_RESULT:1');
  const foreign = Array.from({ length: 2_100 }, (_, at) =>
    giveLetter(it.bus, `dlq:CAF_RESULT:${at + 2}`, { tenant_id: 'osprey' }),
  );
  await Promise.all(foreign);
  const { json } = await ask(it.edge, 'GET ');
  assert.deepEqual([json.data, json.pagination.has_more], [[], true]);
  const next = await ask(it.edge, `GET ?cursor=${json.pagination.next_cursor ?? ''}`);
  assert.deepEqual([namesIn(next), next.json.pagination.has_more], [['dlq:CAF_RESULT:1'], false]);
});

test('one letter is shown with the shape of its payload and no word of it', async () => {
  await using it = await open();
  const body = JSON.stringify({
    prompt: 'my card 4111',
    card: 4111,
    list: [{ ok: true, none: null }],
    'a@b.example': 1,
  });
  await giveLetter(it.bus, 'dlq:CAF_RESULT:1', { body, request_id: 'req-1', headers: { authorization: 'Bearer x' } });
  await giveLetter(it.bus, 'dlq:CAF_RESULT:2', { body: 'secret words' });
  const { status, json, text } = await ask(it.edge, 'GET /1');
  assert.equal(status, 200);
  assert.partialDeepStrictEqual(json, {
    id: '1',
    message_id: 'dlq:CAF_RESULT:1',
    tenant_id: 'kestrel',
    subject: 'caf.exec.result.v1',
    request_id: 'req-1',
    replays: 0,
    delivery: { count: 11, limit: 10, last_seen_at: '1970-01-01T00:00:00.002Z' },
  });
  assert.deepEqual(json['payload'], { prompt: '***', card: '***', list: [{ ok: true, none: null }], '***': '***' });
  assert.doesNotMatch(text, /4111|example|Bearer/);
  assert.equal((await ask(it.edge, 'GET /2')).json['payload'], '***');
});

test('a replay reaches its stream once: the same call again finds nothing, and a letter has three', async () => {
  await using it = await open();
  await giveLetter(it.bus, 'dlq:CAF_RESULT:1');
  let id = '1';
  for (const replays of [1, 2, 3]) {
    const { status, json, text } = await ask(it.edge, `POST /${id}/replay`);
    assert.deepEqual([status, json.outcome, json['replays']], [200, 'replayed', replays], text);
    assert.equal((await ask(it.edge, `POST /${id}/replay`)).status, 404);
    ({ id } = json);
  }
  const refused = await ask(it.edge, `POST /${id}/replay`);
  assert.deepEqual([refused.status, refused.json.error.code], [409, 'conflict']);
  const results = await it.results();
  assert.deepEqual(
    results.map(({ body }) => new TextDecoder().decode(body)),
    [LETTER_BODY, LETTER_BODY, LETTER_BODY],
  );
  assert.ok(it.edge.lines.some((line) => line.includes('letter_replay') && line.includes('key_1')));
});

test('what was given up for good is replayed by force only', async () => {
  await using it = await open();
  await giveLetter(it.bus, 'dlq:CAF_RESULT:1', { error: FINAL });
  assert.equal((await ask(it.edge, 'POST /1/replay')).status, 409);
  assert.equal((await ask(it.edge, 'POST /1/replay?force=yes')).status, 400);
  assert.deepEqual([(await ask(it.edge, 'POST /1/replay?force=true')).status, (await it.results()).length], [200, 1]);
});

test('a filter is tried dry, then sends the oldest first, and repeated sends what is left', async () => {
  await using it = await open();
  for (const number of [1, 2, 3, 4]) {
    const more = number === 2 ? { error: FINAL } : number === 3 ? { tenant_id: 'osprey' } : {};
    await giveLetter(it.bus, `dlq:CAF_RESULT:${number}`, more);
  }
  const dry = await ask(it.edge, 'POST /replay', { filter: {}, dry_run: true });
  assert.deepEqual(outcomesIn(dry), [
    ['dlq:CAF_RESULT:1', 'would_replay'],
    ['dlq:CAF_RESULT:2', 'refused'],
    ['dlq:CAF_RESULT:4', 'would_replay'],
  ]);
  assert.deepEqual(await it.results(), [], 'a dry run sends nothing');
  const sent = await ask(it.edge, 'POST /replay', { filter: { class: 'exhausted' } });
  assert.deepEqual(outcomesIn(sent), [
    ['dlq:CAF_RESULT:1', 'replayed'],
    ['dlq:CAF_RESULT:4', 'replayed'],
  ]);
  const again = await ask(it.edge, 'POST /replay', { filter: {} });
  assert.deepEqual(outcomesIn(again), [['dlq:CAF_RESULT:2', 'refused']]);
  assert.equal((await it.results()).length, 2);
});

test('replays of many are cut at the limit, and go on at the cursor', async () => {
  await using it = await open();
  for (const number of [1, 2, 3]) await giveLetter(it.bus, `dlq:CAF_RESULT:${number}`);
  const first = await ask(it.edge, 'POST /replay', { filter: {}, limit: 2 });
  assert.deepEqual(namesIn(first), ['dlq:CAF_RESULT:2', 'dlq:CAF_RESULT:3']);
  const cursor = first.json.pagination.next_cursor;
  const next = await ask(it.edge, 'POST /replay', { filter: {}, limit: 2, cursor });
  assert.deepEqual([namesIn(next), next.json.pagination.has_more], [['dlq:CAF_RESULT:1'], false]);
});

test('a letter is discarded for a reason, which the log keeps masked', async () => {
  await using it = await open();
  await giveLetter(it.bus, 'dlq:CAF_RESULT:1');
  assert.equal((await ask(it.edge, 'DELETE /1')).status, 400);
  assert.equal((await ask(it.edge, 'DELETE /1?reason=leaked%20sk-abcdefgh')).status, 204);
  assert.equal((await ask(it.edge, 'DELETE /1?reason=again')).status, 404);
  const line = it.edge.lines.find((text) => text.includes('letter_discarded')) ?? '';
  assert.match(line, /"reason":"leaked \*\*\*"/);
});

test('a letter of another tenant, or of none, is like one that is not there, and stays', async () => {
  await using it = await open();
  await giveLetter(it.bus, 'dlq:CAF_RESULT:1');
  await giveLetter(it.bus, 'dlq:CAF_RESULT:2', { tenant_id: '-' });
  for (const call of ['GET /', 'POST /*/replay', 'DELETE /*?reason=x']) {
    const answers = await Promise.all(
      ['1', '2', '99', 'x', 'dlq:CAF_RESULT:1'].map((id) =>
        ask(it.foreign, call.includes('*') ? call.replace('*', id) : call + id),
      ),
    );
    assert.deepEqual(
      answers.map(({ status, json }) => [status, json.error.message]),
      answers.map(() => [404, 'The tenant has no such dead letter.']),
      call,
    );
  }
  assert.deepEqual(namesIn(await ask(it.foreign, 'GET ')), []);
  assert.deepEqual(namesIn(await ask(it.foreign, 'POST /replay', { filter: {} })), []);
  assert.equal((await it.bus.read(deadLetterStream, { fromSeq: 1, limit: 9 })).length, 2);
  assert.deepEqual(await it.results(), []);
});

test('a viewer may do none of it', async () => {
  await using it = await open();
  await giveLetter(it.bus, 'dlq:CAF_RESULT:1');
  for (const call of ['GET ', 'GET /1', 'DELETE /1?reason=x', 'POST /1/replay', 'POST /replay']) {
    const { status } = await ask(it.viewer, call, call === 'POST /replay' ? { filter: {} } : undefined);
    assert.equal(status, 403, call);
  }
});

test('a bus on which nothing was ever given up has an empty list', async () => {
  await using edge = await openEdge({ role: 'operator' });
  const { status, json } = await ask(edge, 'GET ');
  assert.deepEqual([status, json.data, json.pagination.has_more], [200, [], false]);
  assert.equal((await ask(edge, 'GET /1')).status, 404);
});

const REFUSED: readonly (readonly [call: string, body?: object])[] = [
  ['GET ?class=sad'],
  ['GET ?since=today'],
  ['GET ?limit=201'],
  ['GET ?cursor=x'],
  ['POST /replay', {}],
  ['POST /replay', { filter: { clas: 'validation' } }],
  ['POST /replay', { filter: {}, dryrun: true }],
  ['POST /replay', { filter: {}, dry_run: null }],
  ['POST /replay', { filter: {}, limit: 101 }],
];

test('what is misspelt is refused and sends nothing', async () => {
  await using it = await open();
  await giveLetter(it.bus, 'dlq:CAF_RESULT:1');
  for (const [call, body] of REFUSED) {
    const { status, json, text } = await ask(it.edge, call, body);
    assert.deepEqual([status, json.error.code], [400, 'invalid_request'], `${call} ${text}`);
  }
  assert.deepEqual(await it.results(), []);
});
