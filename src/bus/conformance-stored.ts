// Conformance of what a stream holds, and of what becomes of deliveries that no handler may see.
import assert from 'node:assert/strict';
import { at, eventContract, payload } from '../contracts/contract.ts';
import { deadLetter, type DlqEnvelope } from '../contracts/dead-letter.ts';
import { OpenObject } from '../contracts/fields.ts';
import { execResult, type ExecResult } from '../contracts/result.ts';
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import type { Bus, ConsumeFrom, Delivery, Undeliverable } from './bus.ts';
import { type Case, correlation, refused, until } from './conformance-fixture.ts';

const stream: StreamSpec = {
  name: 'CAF_RESULT',
  subject: execResult.template,
  retention: 'limits',
  ageMsMax: 3_600_000,
  bytesMax: 1_048_576,
};
const consumer: ConsumerSpec = {
  durable: 'router-results',
  ackWaitMs: 30_000,
  ackPendingMax: 100,
  nakDelaysMs: [10],
};
const deadLetters: StreamSpec = { ...stream, name: 'BEAMLINE_DLQ', subject: deadLetter.template };
const result = (id: string): ExecResult => ({ assignment_id: id, tenant_id: 'acme', status: 'success' });
const options = (messageId: string) => ({ messageId, timeoutMs: 5_000, correlation });
const append = (bus: Bus, id: string) => bus.append(at(execResult), result(id), options(id));
/** A sender who keeps another contract on the same subject. */
const careless = eventContract({
  class: 'jetstream_event',
  template: execResult.template,
  headers: execResult.headers,
  message: payload('test.Careless', '1', OpenObject),
});
const envelope: DlqEnvelope = {
  version: '2',
  msg_id: 'dlq:CAF_RESULT:1',
  original_subject: execResult.template,
  producer: 'router@r1',
  error: { class: 'exhausted', code: 'internal', message: 'too often', retryable: true },
  delivery: { count: 11, limit: 10, first_seen_ms: 1, last_seen_ms: 2 },
  headers: {},
  payload: 'e30=',
  payload_encoding: 'base64',
  payload_bytes: 2,
  payload_sha256: '0'.repeat(64),
};
const bodyOf = ({ body }: { readonly body: Uint8Array }): unknown => JSON.parse(new TextDecoder().decode(body));

/** Consumes and keeps what was delivered and what was not. */
async function consume(
  bus: Bus,
  from: Partial<ConsumeFrom<ExecResult>> & { readonly spec?: Partial<ConsumerSpec> },
  act: (delivery: Delivery<ExecResult>) => void,
) {
  const seen: string[] = [];
  const { spec, ...more } = from;
  const whole = { stream, message: execResult.message, ...more, consumer: { ...consumer, ...spec } };
  await bus.consume(whole, (delivery) => {
    seen.push(`${delivery.message.assignment_id}#${delivery.count}`);
    act(delivery);
  });
  return seen;
}

export const storedCases: readonly Case[] = [
  [
    'what a stream holds is read in order, from a sequence on, and removed',
    async ({ bus, peer }) => {
      await Promise.all([bus.ensureStream(stream), peer.ensureStream(stream)]);
      assert.deepEqual(await peer.read(stream, { fromSeq: 0, limit: 10 }), []);
      const beforeMs = Date.now();
      for (const id of ['a', 'b', 'c', 'd']) {
        // eslint-disable-next-line no-await-in-loop -- in order
        await append(bus, id);
      }
      const seqs = async (fromSeq: number, limit: number) =>
        (await peer.read(stream, { fromSeq, limit })).map(({ seq }) => seq);
      assert.deepEqual([await seqs(0, 2), await seqs(3, 10), await seqs(5, 10)], [[1, 2], [3, 4], []]);
      assert.deepEqual([await peer.remove(stream, 2), await peer.remove(stream, 2)], [true, false]);
      assert.equal(await peer.remove(stream, 99), false);
      assert.deepEqual(await seqs(1, 10), [1, 3, 4]);
      const [first] = await peer.read(stream, { fromSeq: 1, limit: 1 });
      assert.ok(first !== undefined);
      assert.equal(first.subject, execResult.template);
      assert.deepEqual(bodyOf(first), result('a'));
      assert.deepEqual(first.headers, { trace_id: correlation.traceId, tenant_id: 'acme', 'Nats-Msg-Id': 'a' });
      assert.ok(Math.abs(first.storedAtMs - beforeMs) < 60_000, 'a moment of the epoch');
    },
  ],
  [
    'what no reader would take is not stored: JSON of others that is nested too deep',
    async ({ bus }) => {
      await bus.ensureStream(stream);
      const nested = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
      await bus.append(at(execResult), { ...result('a'), output: nested(63) }, options('63'));
      const { details } = await refused(
        'payload_too_large',
        bus.append(at(execResult), { ...result('a'), output: nested(64) }, options('64')),
      );
      assert.equal(details['reason'], 'depth');
      const seen = await consume(bus, {}, (delivery) => delivery.ack());
      await until('what was stored', () => seen.length === 1);
    },
  ],
  [
    'a delivery tells when its message was stored, however often it comes',
    async ({ bus }) => {
      const beforeMs = Date.now();
      const told: number[] = [];
      await bus.consume({ stream, consumer, message: execResult.message }, (delivery) => {
        told.push(delivery.storedAtMs);
        if (delivery.count === 1) delivery.nak(10);
        else delivery.ack();
      });
      await append(bus, 'a');
      await until('the second delivery', () => told.length === 2);
      assert.equal(told[0], told[1]);
      assert.ok(Math.abs((told[0] ?? 0) - beforeMs) < 60_000, 'a moment of the epoch');
    },
  ],
  [
    'trimming removes what is below a sequence, delivered or not, and the numbers go on',
    async ({ bus }) => {
      await bus.ensureStream(stream);
      await Promise.all(['a', 'b', 'c'].map((id) => append(bus, id)));
      assert.equal(await bus.trim(stream, 1), 0);
      assert.equal(await bus.trim(stream, 3), 2);
      assert.deepEqual([await bus.trim(stream, 3), await bus.trim(stream, 2)], [0, 0]);
      const seen = await consume(bus, {}, (delivery) => delivery.ack());
      await until('what is left', () => seen.length === 1);
      assert.equal(await bus.trim(stream, 4), 1);
      assert.deepEqual(await bus.read(stream, { fromSeq: 1, limit: 9 }), []);
      assert.equal((await append(bus, 'd')).seq, 4);
      await until('the next', () => seen.length === 2);
      assert.deepEqual(
        seen.map((line) => line.slice(1)),
        ['#1', '#1'],
      );
    },
  ],
  [
    'trimming makes room in a full stream',
    async ({ bus }) => {
      await bus.ensureStream({ ...stream, bytesMax: 8_192 });
      let last = 0;
      await refused('unavailable', async () => {
        // eslint-disable-next-line no-await-in-loop -- one after the other until it is full
        for (; last < 1_000; last++) await append(bus, `full-${last}`);
      });
      assert.ok((await bus.trim(stream, last)) > 0);
      await append(bus, 'after');
    },
  ],
  [
    'the progress of a consumer tells what is left, of a stream that keeps what was read and of one that does not',
    async ({ bus, peer }) => {
      for (const retention of ['limits', 'workqueue'] as const) {
        const own = { ...stream, retention, name: `PROGRESS_${retention}`, subject: `${stream.subject}.${retention}` };
        // eslint-disable-next-line no-await-in-loop -- one kind after the other
        await progressOn(bus, peer, own);
      }
    },
  ],
  [
    'a stream that is not there can be neither read nor changed',
    async ({ bus }) => {
      const faults = await Promise.all([
        refused('unavailable', bus.read(stream, { fromSeq: 1, limit: 1 })),
        refused('unavailable', bus.remove(stream, 1)),
        refused('unavailable', bus.trim(stream, 1)),
        refused('unavailable', bus.progress(stream, consumer)),
      ]);
      assert.deepEqual(
        faults.map(({ details }) => details['reason']),
        ['no_stream', 'no_stream', 'no_stream', 'no_stream'],
      );
    },
  ],
  [
    'a dead letter is stored with its headers',
    async ({ bus, peer }) => {
      await bus.ensureStream(deadLetters);
      const headers = { x_dlq_reason: 'exhausted', x_original_subject: execResult.template };
      const ack = await bus.append(at(deadLetter), envelope, { ...options('dlq:CAF_RESULT:1'), headers });
      assert.deepEqual([ack.stream, ack.seq], ['BEAMLINE_DLQ', 1]);
      const [stored] = await peer.read(deadLetters, { fromSeq: 1, limit: 1 });
      assert.deepEqual(stored?.headers, {
        x_trace_id: correlation.traceId,
        x_tenant_id: 'acme',
        x_contract_version: 'v2',
        x_msg_id: 'dlq:CAF_RESULT:1',
        'Nats-Msg-Id': 'dlq:CAF_RESULT:1',
        ...headers,
      });
      const illegal: Readonly<Record<string, string>>[] = [
        { x_dlq_reason: 'two words' },
        { x_dlq_reason: 'a\r\nx_tenant_id: other' },
        { x_tenant_id: 'other' },
        { 'nats-msg-id': 'other' },
        { 'a b': 'c' },
      ];
      await Promise.all(
        illegal.map((more) =>
          refused('internal', bus.append(at(deadLetter), envelope, { ...options('x'), headers: more })),
        ),
      );
    },
  ],
  [
    'what cannot be read goes to its own handler, and is over once that has taken it',
    async ({ bus }) => {
      const given: Undeliverable[] = [];
      let isOpen = false;
      const undeliverable = async (message: Undeliverable): Promise<void> => {
        given.push(message);
        if (!isOpen) throw new Error('the store of dead letters is away');
      };
      const seen = await consume(bus, { undeliverable }, (delivery) => delivery.ack());
      await bus.append(at(careless), { assignment_id: 'b', status: 7 }, options('b'));
      await append(bus, 'a');
      await until('it came again', () => given.length === 2);
      isOpen = true;
      await until('it was taken', () => given.length >= 3);
      const taken = given.length;
      await append(bus, 'c');
      await until('the others', () => seen.length === 2);
      assert.deepEqual([seen, given.length], [['a#1', 'c#1'], taken]);
      const [first] = given;
      assert.ok(first !== undefined);
      assert.partialDeepStrictEqual(first, { seq: 1, count: 1, reason: 'unreadable', subject: execResult.template });
      assert.equal(first.fault?.code, 'invalid_request');
      assert.deepEqual(bodyOf(first), { assignment_id: 'b', status: 7 });
      assert.deepEqual(
        given.map(({ count }) => count),
        given.map((_, n) => n + 1),
      );
    },
  ],
  [
    'what lacks its headers or names two tenants is not delivered, and what v1 left out is',
    async ({ bus }) => {
      const given: Undeliverable[] = [];
      const undeliverable = async (message: Undeliverable): Promise<void> => void given.push(message);
      const strict: StreamSpec = { ...stream, headers: 'jetstream_v2' };
      const seen = await consume(bus, { stream: strict, undeliverable }, (delivery) => delivery.ack());
      const v2 = eventContract({ ...careless, headers: 'jetstream_v2' });
      const foreign = { ...correlation, tenantId: 'umbrella' };
      const nobody = { ...correlation, tenantId: '-' };
      await append(bus, 'v1');
      await bus.append(at(v2), result('foreign'), { ...options('foreign'), correlation: foreign });
      await bus.append(at(v2), result('good'), options('good'));
      await bus.append(at(v2), result('nobody'), { ...options('nobody'), correlation: nobody });
      await until('all', () => seen.length + given.length === 4);
      assert.deepEqual(seen, ['good#1', 'nobody#1']);
      assert.deepEqual(
        given.map(({ seq, reason, fault }) => [seq, reason, fault?.details['reason'], fault?.details['intake']]),
        [
          [1, 'unreadable', 'missing_header', 'CORRELATION_FIELDS_INVALID'],
          [2, 'unreadable', 'tenant_mismatch', 'CORRELATION_FIELDS_INVALID'],
        ],
      );
      const lenient = await consume(bus, { stream, undeliverable, spec: { durable: 'other' } }, (delivery) =>
        delivery.ack(),
      );
      await until('all again', () => lenient.length + given.length === 6);
      assert.deepEqual(lenient, ['v1#1', 'good#1', 'nobody#1']);
    },
  ],
  [
    'what cannot be read and has no handler is given up',
    async ({ bus, metrics }) => {
      const seen = await consume(bus, { spec: { ackWaitMs: 200 } }, (delivery) => {
        if (delivery.count === 3) delivery.ack();
      });
      await bus.append(at(careless), { status: 7 }, options('b'));
      await append(bus, 'clock');
      await until('two ack waits went by', () => seen.length === 3);
      assert.deepEqual(seen, ['clock#1', 'clock#2', 'clock#3']);
      assert.match(metrics(), /bus_contract_violations_total\{contract="caf\.exec\.result\.v1",rule="schema"\} 1\n/);
    },
  ],
  [
    'a delivery over the limit is not handled but given up',
    async ({ bus }) => {
      const given: Undeliverable[] = [];
      const undeliverable = async (message: Undeliverable): Promise<void> => void given.push(message);
      const seen = await consume(bus, { undeliverable, spec: { deliveryLimit: 2 } }, (delivery) => {
        if (delivery.message.assignment_id === 'good') delivery.ack();
        else delivery.nak(0);
      });
      await append(bus, 'bad');
      await until('it was given up', () => given.length === 1);
      await append(bus, 'good');
      await until('the next', () => seen.includes('good#1'));
      assert.deepEqual(seen, ['bad#1', 'bad#2', 'good#1']);
      assert.partialDeepStrictEqual(given, [{ seq: 1, count: 3, reason: 'exhausted', fault: undefined }]);
    },
  ],
  [
    'deliveries that are forgiven do not count against the limit, and what cannot be told of comes again',
    async ({ bus }) => {
      const given: Undeliverable[] = [];
      const undeliverable = async (message: Undeliverable): Promise<void> => void given.push(message);
      let asked = 0;
      const forgiven = async (): Promise<number> => {
        if (++asked === 1) throw new Error('not now');
        return 3;
      };
      const seen = await consume(bus, { undeliverable, forgiven, spec: { deliveryLimit: 2 } }, (delivery) => {
        delivery.nak(0);
      });
      await append(bus, 'bad');
      await until('it was given up', () => given.length === 1);
      assert.deepEqual(seen, ['bad#1', 'bad#2', 'bad#4', 'bad#5']);
      assert.partialDeepStrictEqual(given, [{ count: 6, reason: 'exhausted' }]);
    },
  ],
  [
    'a process takes no more than it has room for, and another takes the rest',
    async ({ bus, peer }) => {
      const open: Delivery<ExecResult>[] = [];
      const busy = await consume(bus, { pendingMax: 2 }, (delivery) => void open.push(delivery));
      await Promise.all(['a', 'b', 'c', 'd'].map((id) => append(bus, id)));
      await until('two deliveries', () => busy.length === 2);
      const idle = await consume(peer, { pendingMax: 10 }, (delivery) => delivery.ack());
      await until('the rest', () => idle.length === 2);
      assert.equal(busy.length, 2);
      for (const delivery of open.splice(0)) delivery.ack();
      const rest = Array.from({ length: 20 }, (_, n) => `rest-${n}`);
      await Promise.all(rest.map((id) => append(bus, id)));
      await until('all', () => busy.length + idle.length === 24);
      assert.ok(busy.length <= 4, `at most two open: ${busy.length}`);
    },
  ],
  [
    'a place is free again after the ack wait',
    async ({ bus }) => {
      const seen = await consume(bus, { pendingMax: 1, spec: { ackWaitMs: 200 } }, (delivery) => {
        if (delivery.message.assignment_id === 'b' || delivery.count > 1) delivery.ack();
      });
      await append(bus, 'a');
      await append(bus, 'b');
      await until('both', () => seen.includes('b#1') && seen.some((line) => /^a#[2-9]/.test(line)));
    },
  ],
];

async function progressOn(bus: Bus, peer: Bus, own: StreamSpec): Promise<void> {
  const to = at(eventContract({ ...execResult, template: own.subject }));
  const told = async (): Promise<readonly unknown[]> => {
    const { lastSeq, settledSeq, oldestAtMs } = await peer.progress(own, consumer);
    if (oldestAtMs !== undefined) assert.ok(Math.abs(oldestAtMs - Date.now()) < 60_000, 'a moment of the epoch');
    return [lastSeq, settledSeq, oldestAtMs === undefined ? 'nothing' : 'something'];
  };
  await bus.ensureStream(own);
  assert.deepEqual(await told(), [0, 0, 'nothing']);
  for (const id of ['a', 'b', 'c']) {
    // eslint-disable-next-line no-await-in-loop -- in this order
    await bus.append(to, result(id), options(`${own.name}-${id}`));
  }
  assert.deepEqual(await told(), [3, 0, 'something'], 'nobody has taken anything');
  const held: Delivery<ExecResult>[] = [];
  await bus.consume({ stream: own, consumer, message: execResult.message }, (delivery) => void held.push(delivery));
  await until('three deliveries', () => held.length === 3);
  held[1]?.ack();
  held[0]?.nak(60_000);
  assert.deepEqual(await told(), [3, 0, 'something'], 'the first is left, wherever it is');
  held[2]?.ack();
  assert.deepEqual(await told(), [3, 0, 'something']);
  const [first] = await peer.read(own, { fromSeq: 1, limit: 1 });
  await peer.remove(own, first?.seq ?? 0);
  await until('the last acknowledgement', async () => (await told())[2] === 'nothing');
}
