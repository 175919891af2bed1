// Conformance of streams and their durable consumers.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { at } from '../contracts/contract.ts';
import { execResult, type ExecResult } from '../contracts/result.ts';
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import type { Bus, Delivery } from './bus.ts';
import { type Case, correlation, refused, until } from './conformance-fixture.ts';

const stream: StreamSpec = {
  name: 'CAF_RESULT',
  subject: execResult.template,
  retention: 'workqueue',
  ageMsMax: 0,
  bytesMax: 1_048_576,
};
const consumer: ConsumerSpec = {
  durable: 'router-results',
  ackWaitMs: 30_000,
  ackPendingMax: 100,
  nakDelaysMs: [20, 40],
};
const to = at(execResult);

const result = (id: string): ExecResult => ({ assignment_id: id, tenant_id: 'acme', status: 'success' });

const append = (bus: Bus, id: string) =>
  bus.append(to, result(id), { messageId: `res:acme:${id}:1`, timeoutMs: 5_000, correlation });

/** Consumes and keeps what came, as `id#count`. */
async function consume(
  bus: Bus,
  spec: Partial<ConsumerSpec>,
  act: (delivery: Delivery<ExecResult>) => void | Promise<void>,
) {
  const seen: string[] = [];
  const from = { stream, consumer: { ...consumer, ...spec }, message: execResult.message };
  const subscription = await bus.consume(from, (delivery) => {
    seen.push(`${delivery.message.assignment_id}#${delivery.count}`);
    return act(delivery);
  });
  return { seen, subscription };
}

export const streamCases: readonly Case[] = [
  [
    'an append is confirmed with its sequence, and one message id is stored once',
    async ({ bus, peer }) => {
      await Promise.all([bus.ensureStream(stream), peer.ensureStream(stream)]);
      await bus.ensureStream({ ...stream, bytesMax: 2_097_152 });
      assert.deepEqual(await append(bus, 'a'), { stream: 'CAF_RESULT', seq: 1, duplicate: false });
      assert.deepEqual(await append(peer, 'a'), { stream: 'CAF_RESULT', seq: 1, duplicate: true });
      assert.equal((await append(peer, 'b')).seq, 2);
      const { seen } = await consume(bus, {}, (delivery) => delivery.ack());
      await until('both', () => seen.length === 2);
      assert.deepEqual(seen, ['a#1', 'b#1']);
    },
  ],
  [
    'an append that no stream takes is unavailable',
    async ({ bus }) => {
      await refused('unavailable', bus.append(to, result('a'), { messageId: 'a', timeoutMs: 200, correlation }));
    },
  ],
  [
    'an invalid message is not stored',
    async ({ bus }) => {
      await bus.ensureStream(stream);
      const invalid = { ...result('a'), tenant_id: '' };
      await refused('internal', bus.append(to, invalid, { messageId: 'a', timeoutMs: 1_000, correlation }));
      assert.equal((await append(bus, 'b')).seq, 1);
    },
  ],
  [
    'a full stream refuses the new message and keeps the old ones',
    async ({ bus }) => {
      await bus.ensureStream({ ...stream, bytesMax: 8_192 });
      let stored = 0;
      const fault = await refused('unavailable', async () => {
        // eslint-disable-next-line no-await-in-loop -- one after the other until it is full
        for (; stored < 1_000; stored++) await append(bus, `full-${stored}`);
      });
      assert.equal(fault.details['reason'], 'stream_full');
      const { seen } = await consume(bus, {}, (delivery) => delivery.ack());
      await until('all that was stored', () => seen.length === stored);
      assert.equal(seen[0], 'full-0#1');
      await until('room again', () =>
        append(bus, 'after').then(
          () => true,
          () => false,
        ),
      );
    },
  ],
  [
    'a nak brings the message back, counted',
    async ({ bus }) => {
      const { seen } = await consume(bus, {}, (delivery) => (delivery.count < 3 ? delivery.nak(20) : delivery.ack()));
      await append(bus, 'a');
      await until('three deliveries', () => seen.length === 3);
      assert.deepEqual(seen, ['a#1', 'a#2', 'a#3']);
    },
  ],
  [
    'a handler that throws gives the message back',
    async ({ bus }) => {
      const { seen } = await consume(bus, {}, (delivery) => {
        if (delivery.count === 1) throw new Error('broken');
        delivery.ack();
      });
      await append(bus, 'a');
      await until('two deliveries', () => seen.length === 2);
      assert.deepEqual(seen, ['a#1', 'a#2']);
    },
  ],
  [
    'a message that is not acknowledged comes back after the ack wait',
    async ({ bus }) => {
      const { seen } = await consume(bus, { ackWaitMs: 200 }, (delivery) => {
        if (delivery.count === 2) delivery.ack();
      });
      await append(bus, 'a');
      await until('two deliveries', () => seen.length === 2);
      assert.deepEqual(seen, ['a#1', 'a#2']);
    },
  ],
  [
    'work that reports itself keeps its message beyond the ack wait',
    async ({ bus }) => {
      let isDone = false;
      const { seen } = await consume(bus, { ackWaitMs: 1_000 }, async (delivery) => {
        for (let i = 0; i < 4; i++) {
          // eslint-disable-next-line no-await-in-loop -- the work
          await sleep(400);
          delivery.working();
        }
        delivery.ack();
        isDone = true;
      });
      await append(bus, 'a');
      await until('the work is done', () => isDone);
      assert.deepEqual(seen, ['a#1']);
    },
  ],
  [
    'a message that was given up or acknowledged does not come back',
    async ({ bus }) => {
      const { seen } = await consume(bus, { ackWaitMs: 200 }, (delivery) => {
        const { assignment_id: id } = delivery.message;
        if (id === 'given-up') delivery.term();
        else if (id === 'done' || delivery.count === 3) delivery.ack();
      });
      await append(bus, 'given-up');
      await append(bus, 'done');
      await append(bus, 'clock');
      await until('two ack waits went by', () => seen.includes('clock#3'));
      assert.deepEqual(seen.toSorted(), ['clock#1', 'clock#2', 'clock#3', 'done#1', 'given-up#1']);
    },
  ],
  [
    'no more than the bound are delivered unacknowledged',
    async ({ bus }) => {
      const open: Delivery<ExecResult>[] = [];
      const { seen } = await consume(bus, { ackPendingMax: 2 }, (delivery) => void open.push(delivery));
      await Promise.all(['a', 'b', 'c'].map((id) => append(bus, id)));
      await until('two deliveries', () => seen.length === 2);
      await bus.flush();
      assert.equal(seen.length, 2);
      open[0]?.ack();
      await until('the third', () => seen.length === 3);
    },
  ],
  [
    'two processes share a durable consumer',
    async ({ bus, peer }) => {
      const one = await consume(bus, {}, (delivery) => delivery.ack());
      const two = await consume(peer, {}, (delivery) => delivery.ack());
      await Promise.all([bus.flush(), peer.flush()]);
      const ids = Array.from({ length: 40 }, (_, i) => `m-${i}`);
      await Promise.all(ids.map((id) => append(bus, id)));
      await until('all delivered', () => one.seen.length + two.seen.length >= ids.length);
      assert.deepEqual([...one.seen, ...two.seen].toSorted(), ids.map((id) => `${id}#1`).toSorted());
      assert.ok(one.seen.length > 0 && two.seen.length > 0, 'both got some');
    },
  ],
  [
    'a stream with limits gives every durable consumer each message',
    async ({ bus }) => {
      const limits: StreamSpec = { ...stream, retention: 'limits', ageMsMax: 3_600_000 };
      const seen: Record<string, string[]> = { early: [], late: [] };
      const join = (durable: string) =>
        bus.consume({ stream: limits, consumer: { ...consumer, durable }, message: execResult.message }, (delivery) => {
          seen[durable]?.push(delivery.message.assignment_id ?? '');
          delivery.ack();
        });
      await join('early');
      await append(bus, 'a');
      await until('the early one', () => seen['early']?.length === 1);
      await join('late');
      await until('the late one', () => seen['late']?.length === 1);
      assert.deepEqual(seen, { early: ['a'], late: ['a'] });
    },
  ],
  [
    'a drained consumer takes no more, and another takes up where it ended',
    async ({ bus, peer }) => {
      const first = await consume(bus, {}, (delivery) => delivery.ack());
      await append(bus, 'a');
      await until('the first', () => first.seen.length === 1);
      await first.subscription.drain();
      await append(bus, 'b');
      const second = await consume(peer, {}, (delivery) => delivery.ack());
      await until('the second', () => second.seen.length === 1);
      assert.deepEqual([first.seen, second.seen], [['a#1'], ['b#1']]);
    },
  ],
];
