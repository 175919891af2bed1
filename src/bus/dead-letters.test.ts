import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deadLetter } from '../contracts/dead-letter.ts';
import { deadLetterStream, resultStream, routerResults } from '../contracts/streams.ts';
import { MESSAGE_BYTES_MAX } from '../contracts/limits.ts';
import { BeamlineError } from '../core/errors.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import type { Undeliverable } from './bus.ts';
import { deadLetterOf, DeadLetters } from './dead-letters.ts';
import { openMemoryBus } from './memory.ts';

const FROM = { stream: resultStream, consumer: routerResults };
const BY = { producer: 'router@r-1', nowMs: 9_000 };
const VALIDATION = { class: 'validation', code: 'PARSE_ERROR', message: 'no', retryable: false } as const;

const undeliverable = (more: Partial<Undeliverable> = {}): Undeliverable => ({
  seq: 88,
  subject: 'caf.exec.result.v1',
  storedAtMs: 1_000,
  headers: { tenant_id: 'acme', authorization: 'Bearer x', 'Nats-Msg-Id': 'res:1' },
  body: new TextEncoder().encode('{"assignment_id":"a-1","tenant_id":"other"}'),
  count: 11,
  reason: 'exhausted',
  fault: undefined,
  ...more,
});

async function open() {
  const timers = new Timers(new ManualClock(1_790_000_000_000));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const letters = new DeadLetters({
    bus,
    clock: timers.clock,
    telemetry,
    producer: 'router@r-1',
    metric: { name: 'router_dead_letters_total', label: 'class' as const },
  });
  await letters.open();
  const stored = async () =>
    (await bus.read(deadLetterStream, { fromSeq: 1, limit: 10 })).map(({ body, headers }) => {
      const letter: unknown = JSON.parse(new TextDecoder().decode(body));
      assert.ok(deadLetter.message.check(letter));
      return { letter, headers };
    });
  const close = async () => {
    await bus[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  };
  return { letters, stored, close, metrics: telemetry.metrics };
}

test('a message that was given up is kept whole, once, and says where it came from', async () => {
  const { letters, stored, close, metrics } = await open();
  await letters.give(undeliverable(), FROM);
  await letters.give(undeliverable(), FROM);
  const [only, more] = await stored();
  assert.equal(more, undefined, 'one letter for one message');
  assert.ok(only !== undefined);
  const { letter, headers } = only;
  assert.deepEqual(
    [letter.msg_id, letter.original_subject, letter.producer, letter.original_msg_id],
    ['dlq:CAF_RESULT:88', 'caf.exec.result.v1', 'router@r-1', 'res:1'],
  );
  assert.deepEqual(letter.error, {
    class: 'exhausted',
    code: 'DELIVERY_EXHAUSTED',
    message: 'delivered 11 times without an end',
    retryable: true,
  });
  assert.equal(Buffer.from(letter.payload, 'base64').toString(), '{"assignment_id":"a-1","tenant_id":"other"}');
  assert.deepEqual([letter.tenant_id, letter.assignment_id], ['acme', 'a-1'], 'a header wins over the payload');
  assert.equal(letter.headers['authorization'], '***');
  assert.deepEqual([letter.delivery.count, letter.delivery.limit, letter.delivery.first_seen_ms], [11, 10, 1_000]);
  assert.deepEqual(
    [headers['x_dlq_reason'], headers['x_original_subject'], headers['x_original_msg_id']],
    ['exhausted', 'caf.exec.result.v1', 'res:1'],
  );
  assert.match(metrics.render(), /router_dead_letters_total\{class="exhausted"\} 1\n/);
  await close();
});

const FAULTS: readonly (readonly [reason: string, code: string])[] = [
  ['schema', 'SCHEMA_VALIDATION_FAILED'],
  ['syntax', 'PARSE_ERROR'],
];

for (const [reason, code] of FAULTS) {
  test(`a message with a fault of ${reason} is told as ${code}`, async () => {
    const { letters, stored, close } = await open();
    const fault = new BeamlineError('invalid_request', 'key sk-123456789', { details: { reason } });
    await letters.give(undeliverable({ reason: 'unreadable', fault, count: 1 }), FROM);
    const [only] = await stored();
    assert.deepEqual(only?.letter.error, { class: 'validation', code, message: 'key ***', retryable: false });
    await close();
  });
}

test('a body that is no JSON is kept as it came, and names nobody', () => {
  const body = new Uint8Array([0, 255, 1]);
  const letter = deadLetterOf({ subject: 'a.b', headers: {}, body }, VALIDATION, BY);
  assert.deepEqual([...Buffer.from(letter.payload, 'base64')], [0, 255, 1]);
  assert.equal(letter.tenant_id, undefined);
  assert.equal(letter.msg_id, `dlq:a.b:${letter.payload_sha256}`);
});

test('a body that fits no message is cut, and says so', () => {
  const body = new Uint8Array(MESSAGE_BYTES_MAX);
  const letter = deadLetterOf({ subject: 'a.b', headers: {}, body }, VALIDATION, BY);
  assert.equal(letter.payload_truncated, true);
  assert.equal(letter.payload_bytes, MESSAGE_BYTES_MAX);
  assert.ok(JSON.stringify(letter).length <= MESSAGE_BYTES_MAX);
});
