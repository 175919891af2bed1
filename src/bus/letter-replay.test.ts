import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { at } from '../contracts/contract.ts';
import { deadLetter, type DlqEnvelope } from '../contracts/dead-letter.ts';
import { assignStream, deadLetterStream, resultStream, type StreamSpec } from '../contracts/streams.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import type { Bus } from './bus.ts';
import { letterHeaders } from './dead-letters.ts';
import { letterAt, listLetters, removeLetter } from './letter-box.ts';
import { replayLetter } from './letter-replay.ts';
import { openMemoryBus } from './memory.ts';

const RESULT = { version: '1', assignment_id: 'a-1', tenant_id: 'kestrel', status: 'success', a_field_of_tomorrow: 7 };

function envelope(body: unknown, more: Partial<DlqEnvelope> = {}): DlqEnvelope {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return {
    version: '2',
    msg_id: 'dlq:CAF_RESULT:88',
    original_subject: 'caf.exec.result.v1',
    producer: 'router@r-1',
    error: { class: 'exhausted', code: 'DELIVERY_EXHAUSTED', message: 'no', retryable: true },
    delivery: { count: 11, limit: 10, first_seen_ms: 1, last_seen_ms: 2 },
    headers: {
      trace_id: 't-1',
      tenant_id: 'kestrel',
      version: '1',
      'Nats-Msg-Id': 'res:1',
      authorization: '***',
      evil: 'x',
    },
    payload: bytes.toString('base64'),
    payload_encoding: 'base64',
    payload_bytes: bytes.length,
    payload_sha256: createHash('sha256').update(bytes).digest('hex'),
    tenant_id: 'kestrel',
    trace_id: 't-1',
    ...more,
  };
}

async function open(...letters: readonly DlqEnvelope[]) {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const pool = assignStream('gpu');
  for (const stream of [deadLetterStream, resultStream, pool]) await bus.ensureStream(stream);
  for (const [index, letter] of letters.entries()) await give(bus, letter, `id-${index}`);
  return {
    bus,
    clock,
    pool,
    replay: (seq: number, isForced = false) => replayLetter({ bus, clock }, seq, { isForced }),
    list: () => listLetters(bus, { fits: () => true, limit: 100 }),
    async [Symbol.asyncDispose]() {
      await bus[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
    },
  };
}

const give = (bus: Bus, letter: DlqEnvelope, messageId: string) =>
  bus.append(at(deadLetter), letter, {
    messageId,
    timeoutMs: 1_000,
    correlation: { traceId: 't-1', tenantId: 'kestrel' },
    headers: letterHeaders(letter),
  });

const stored = async (bus: Bus, stream: StreamSpec = resultStream) =>
  (await bus.read(stream, { fromSeq: 1, limit: 100 })).map(({ subject, headers, body }) => ({
    subject,
    headers,
    body: JSON.parse(new TextDecoder().decode(body)) as unknown,
  }));

test('a replay is the message as it was, under an id of its own, with the headers that its contract knows', async () => {
  await using desk = await open(envelope(RESULT));
  const outcome = await desk.replay(1);
  assert.partialDeepStrictEqual(outcome, { kind: 'replayed', subject: 'caf.exec.result.v1', count: 1 });
  assert.deepEqual(await stored(desk.bus), [
    {
      subject: 'caf.exec.result.v1',
      headers: {
        trace_id: 't-1',
        tenant_id: 'kestrel',
        version: '1',
        'Nats-Msg-Id': 'replay:dlq:CAF_RESULT:88:1',
      },
      body: RESULT,
    },
  ]);
});

test('on v2 a replay says which one it is', async () => {
  const assignment = {
    version: '1',
    assignment_id: 'a-1',
    request_id: 'r-1',
    tenant_id: 'kestrel',
    executor: { provider_id: 'worker', channel: 'nats', pool: 'gpu' },
    job: { type: 'test.echo', payload: { x: 1 } },
    options: { deadline_ms: 1_000 },
  };
  const letter = envelope(assignment, {
    original_subject: 'caf.exec.assign.v2.gpu',
    headers: { 'X-Request-Id': 'r-1' },
  });
  await using desk = await open(letter);
  assert.partialDeepStrictEqual(await desk.replay(1), { kind: 'replayed', subject: 'caf.exec.assign.v2.gpu' });
  const [again] = await stored(desk.bus, desk.pool);
  assert.partialDeepStrictEqual(again?.headers, { x_retry_count: '1', 'x-request-id': 'r-1', x_tenant_id: 'kestrel' });
});

test('a letter stays after its replay, counted, and after the third it is refused', async () => {
  await using desk = await open(envelope(RESULT));
  for (const count of [1, 2, 3]) {
    const { letters } = await desk.list();
    assert.deepEqual(
      letters.map(({ msg_id, replays }) => [msg_id, replays]),
      [['dlq:CAF_RESULT:88', count - 1]],
    );
    assert.partialDeepStrictEqual(await desk.replay(letters[0]?.seq ?? 0), { kind: 'replayed', count });
  }
  const [last] = (await desk.list()).letters;
  assert.deepEqual(await desk.replay(last?.seq ?? 0, true), { kind: 'refused', why: 'it was replayed 3 times' });
  assert.equal((await stored(desk.bus)).length, 3);
  assert.deepEqual((await letterAt(desk.bus, last?.seq ?? 0))?.replay, { count: 3, last_ms: 1_790_000_000_000 });
});

test('two who replay one letter at once send it once', async () => {
  await using desk = await open(envelope(RESULT));
  const outcomes = await Promise.all([desk.replay(1), desk.replay(1)]);
  assert.deepEqual(outcomes.map(({ kind }) => kind).toSorted(), ['refused', 'replayed']);
  assert.equal((await stored(desk.bus)).length, 1);
});

test('the copy that a crash left beside the counted one is the same letter', async () => {
  await using desk = await open(envelope(RESULT), envelope(RESULT, { replay: { count: 3, last_ms: 5 } }));
  const { letters } = await desk.list();
  assert.deepEqual(
    letters.map(({ seq, replays }) => [seq, replays]),
    [[2, 3]],
  );
});

const REFUSED: readonly (readonly [what: string, letter: DlqEnvelope, why: RegExp])[] = [
  [
    'of no stream',
    envelope(RESULT, { original_subject: 'caf.worker.heartbeat.v1' }),
    /no registered event of a stream/,
  ],
  ['of a wildcard', envelope(RESULT, { original_subject: 'caf.exec.assign.v2.*' }), /no registered event of a stream/],
  ['whose body was cut', envelope(RESULT, { payload_truncated: true }), /its body was cut/],
  ['whose body is encrypted', envelope(RESULT, { payload_encoding: 'aes256gcm+base64' }), /encrypted/],
  ['whose body was changed', envelope(RESULT, { payload: 'e30=' }), /not the one that was given up/],
  ['whose body its contract refuses', envelope({ ...RESULT, status: 'fine' }), /unreadable: \/status/],
  ['whose body is no JSON', envelope('{'), /unreadable: not JSON/],
  ['whose id cannot be a header', envelope(RESULT, { msg_id: 'a b' }), /cannot be a header/],
];

for (const [what, letter, why] of REFUSED) {
  test(`a letter ${what} is refused, also by force, and nothing is sent or counted`, async () => {
    await using desk = await open(letter);
    const outcome = await desk.replay(1, true);
    assert.ok(outcome.kind === 'refused' && why.test(outcome.why), JSON.stringify(outcome));
    assert.deepEqual(await stored(desk.bus), []);
    assert.equal((await desk.list()).letters[0]?.replays, 0);
  });
}

test('what was given up for good needs force', async () => {
  const error = { class: 'validation', code: 'PARSE_ERROR', message: 'no', retryable: false } as const;
  await using desk = await open(envelope(RESULT, { error }));
  assert.partialDeepStrictEqual(await desk.replay(1), { kind: 'refused' });
  assert.partialDeepStrictEqual(await desk.replay(1, true), { kind: 'replayed' });
});

test('a letter that is gone is refused, and removed only once', async () => {
  await using desk = await open(envelope(RESULT));
  assert.deepEqual([await removeLetter(desk.bus, 1), await removeLetter(desk.bus, 1)], [true, false]);
  assert.deepEqual(await desk.replay(1), { kind: 'refused', why: 'there is no such letter any more' });
});

test('a list is narrowed and cut, oldest first', async () => {
  const letters = Array.from({ length: 230 }, (_, index) => envelope(RESULT, { msg_id: `dlq:CAF_RESULT:${index}` }));
  await using desk = await open(...letters);
  const even = await listLetters(desk.bus, { fits: ({ seq }) => seq % 2 === 0, limit: 110 });
  assert.deepEqual(
    [even.letters.length, even.letters[0]?.seq, even.letters.at(-1)?.seq, even.isCut],
    [110, 2, 220, true],
  );
  assert.deepEqual([(await listLetters(desk.bus, { fits: () => true, limit: 230 })).isCut], [false]);
});

test('a bus on which nobody ever gave anything up has no letters', async () => {
  const timers = new Timers(new ManualClock(0));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  await using bus = openMemoryBus({ timers, telemetry });
  assert.deepEqual(await listLetters(bus, { fits: () => true, limit: 1 }), {
    letters: [],
    unreadable: [],
    isCut: false,
  });
  timers[Symbol.dispose]();
});
