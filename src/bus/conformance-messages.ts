// Conformance of requests and events.
import assert from 'node:assert/strict';
import { adminV2 } from '../contracts/admin.ts';
import { execCall } from '../contracts/assignment.ts';
import { cancel, type Cancel } from '../contracts/cancel.ts';
import { addressIn, at, everyOf } from '../contracts/contract.ts';
import { frames, type StreamFrame } from '../contracts/frames.ts';
import { workerHeartbeat } from '../contracts/heartbeat.ts';
import { MESSAGE_BYTES_MAX } from '../contracts/limits.ts';
import { BeamlineError } from '../core/errors.ts';
import {
  accepted,
  assignment,
  type Case,
  correlation,
  gate,
  heartbeat,
  refused,
  soon,
  until,
  within,
} from './conformance-fixture.ts';

const pool = at(execCall, { pool: 'default' });
const beat = at(workerHeartbeat);
const workers = { queue: 'worker' };

const illegalTokens: readonly string[] = [
  '',
  'a b',
  'a\tb',
  'a\r\nPUB victim 1',
  'a\u0000b',
  'größe',
  '\ud800',
  'x'.repeat(129),
];
const illegalSubjects: readonly string[] = [
  'caf.exec.result.v1',
  'beamline.exec.v2.frames.g1.',
  'beamline.exec.v2.frames.g1.*',
  'beamline.exec.v2.frames.g1.>',
  'beamline.exec.v2.frames.g1.s1.more',
  'beamline.exec.v2.frames.g 1.s1',
  'beamline.exec.v2.frames.g1.s1\r\nPUB victim 1',
  'beamline.exec.v2.frames.g1.s1\n',
  'beamline.exec.v2.frames.g1.s\u00001',
  `beamline.exec.v2.frames.g1.${'s'.repeat(5_000)}`,
];

export const requestCases: readonly Case[] = [
  [
    'a request goes to one member of a queue group',
    async ({ bus, peer }) => {
      const served: string[] = [];
      for (const side of [bus, bus, peer]) {
        side.serve(pool, workers, (request) => {
          served.push(request.assignment_id);
          return accepted(request);
        });
      }
      await Promise.all([bus.flush(), peer.flush()]);
      const ids = Array.from({ length: 30 }, (_, i) => `asg-${i}`);
      const replies = await Promise.all(ids.map((id) => peer.request(pool, assignment(id), soon)));
      assert.deepEqual(
        replies.map((reply) => reply.assignment_id),
        ids,
      );
      assert.deepEqual(served.toSorted(), ids.toSorted());
    },
  ],
  [
    'a request that nobody serves is unavailable',
    async ({ bus, metrics }) => {
      const fault = await refused('unavailable', bus.request(pool, assignment('a'), soon));
      assert.equal(fault.details['reason'], 'no_responders');
      assert.match(metrics(), /bus_requests_total\{subject="caf\.exec\.call\.v2\.<pool>",result="unavailable"\} 1/);
    },
  ],
  [
    'a request without a reply in time ends with timeout, and a later reply is ignored',
    async ({ bus, peer }) => {
      const late = gate();
      peer.serve(pool, workers, async (request) => {
        if (request.assignment_id === 'slow') await late.opened;
        return accepted(request);
      });
      await peer.flush();
      await refused('timeout', bus.request(pool, assignment('slow'), within(50)));
      const next = bus.request(pool, assignment('next'), soon);
      late.open();
      assert.equal((await next).assignment_id, 'next');
    },
  ],
  [
    'a signal ends a request as cancelled',
    async ({ bus, peer }) => {
      const held = gate();
      const began = gate();
      peer.serve(pool, workers, async (request) => {
        began.open();
        await held.opened;
        return accepted(request);
      });
      await peer.flush();
      const caller = new AbortController();
      const request = bus.request(pool, assignment('a'), { ...soon, signal: caller.signal });
      await began.opened;
      caller.abort();
      await refused('cancelled', request);
      await refused('cancelled', bus.request(pool, assignment('b'), { ...soon, signal: caller.signal }));
      held.open();
    },
  ],
  [
    'what a handler throws is answered by the refusal of the contract',
    async ({ bus, peer }) => {
      const faults: Readonly<Record<string, Error>> = {
        full: new BeamlineError('queue_full', 'no slot'),
        broken: new Error('a secret of the inside'),
      };
      for (const [id, fault] of Object.entries(faults)) {
        const throwing = peer.serve(at(execCall, { pool: `${id}-sync` }), workers, () => {
          throw fault;
        });
        const rejecting = peer.serve(at(execCall, { pool: `${id}-async` }), workers, () => Promise.reject(fault));
        assert.deepEqual([throwing.pending, rejecting.pending], [0, 0]);
      }
      await peer.flush();
      const ask = (id: string, way: string) =>
        bus.request(at(execCall, { pool: `${id}-${way}` }), assignment(id), soon);
      for (const reply of await Promise.all([ask('full', 'sync'), ask('full', 'async')])) {
        assert.partialDeepStrictEqual(reply, { assignment_id: 'full', status: 'rejected', reason: 'queue_full' });
      }
      for (const reply of await Promise.all([ask('broken', 'sync'), ask('broken', 'async')])) {
        assert.equal(reply.status, 'error');
        assert.doesNotMatch(JSON.stringify(reply), /secret/);
      }
    },
  ],
  [
    'an invalid request does not leave',
    async ({ bus, peer }) => {
      let calls = 0;
      peer.serve(pool, workers, (request) => {
        calls++;
        return accepted(request);
      });
      await peer.flush();
      await refused('internal', bus.request(pool, { ...assignment('a'), tenant_id: '' }, soon));
      await bus.request(pool, assignment('b'), soon);
      assert.equal(calls, 1);
    },
  ],
  [
    'an invalid reply does not arrive',
    async ({ bus, peer }) => {
      peer.serve(pool, workers, (request) => ({ ...accepted(request), assignment_id: '' }));
      await peer.flush();
      await refused('invalid_reply', bus.request(pool, assignment('a'), soon));
    },
  ],
  [
    'a request over the largest body is refused, a reply over it is answered by the refusal',
    async ({ bus, peer }) => {
      const huge = 'x'.repeat(MESSAGE_BYTES_MAX);
      peer.serve(pool, workers, (request) => ({ ...accepted(request), extra: huge }));
      await peer.flush();
      await refused('payload_too_large', bus.request(pool, assignment('a', huge), soon));
      await refused(
        'payload_too_large',
        bus.request(pool, assignment('a', '\u20ac'.repeat(MESSAGE_BYTES_MAX / 3)), soon),
      );
      const reply = await bus.request(pool, assignment('b', 'x'.repeat(MESSAGE_BYTES_MAX - 1_000)), soon);
      assert.equal(reply.status, 'rejected');
    },
  ],
  [
    'requests over a server that is full are refused as overload',
    async ({ bus, peer }) => {
      const held = gate();
      const serving = peer.serve(pool, { ...workers, pendingMax: 2 }, async (request) => {
        await held.opened;
        return accepted(request);
      });
      await peer.flush();
      const first = [bus.request(pool, assignment('a'), soon), bus.request(pool, assignment('b'), soon)];
      await until('two pending', () => serving.pending === 2);
      const third = await bus.request(pool, assignment('c'), soon);
      assert.equal(third.reason, 'queue_full');
      held.open();
      for (const reply of await Promise.all(first)) assert.equal(reply.status, 'accepted');
    },
  ],
  [
    'the credential of an administrator reaches its handler, and no other',
    async ({ bus, peer }) => {
      const seen: (string | undefined)[] = [];
      const ask = { timeoutMs: 5_000, correlation: { ...correlation, authorization: 'Bearer blk_x' } };
      peer.serve(at(adminV2, { op: 'health' }), {}, (_, received) => {
        seen.push(received.authorization);
        return { version: '2', ok: true, context: {} };
      });
      peer.serve(pool, workers, (request, received) => {
        seen.push(received.authorization);
        return accepted(request);
      });
      await peer.flush();
      await bus.request(at(adminV2, { op: 'health' }), { version: '2', request_id: 'a', params: {} }, ask);
      await bus.request(pool, assignment('a'), ask);
      assert.deepEqual(seen, ['Bearer blk_x', undefined]);
    },
  ],
  [
    'a handler reads trace and tenant',
    async ({ bus, peer }) => {
      const seen: (string | undefined)[] = [];
      peer.serve(pool, workers, (request, received) => {
        seen.push(received.subject, received.traceId, received.tenantId);
        return accepted(request);
      });
      peer.subscribe(beat, {}, (_, received) => void seen.push(received.subject, received.traceId, received.tenantId));
      await peer.flush();
      await bus.request(pool, assignment('a'), soon);
      bus.publish(beat, heartbeat('w'), correlation);
      await until('the event', () => seen.length === 6);
      const { traceId, tenantId } = correlation;
      assert.deepEqual(seen, [pool.subject, traceId, tenantId, beat.subject, traceId, tenantId]);
    },
  ],
  [
    'no illegal token becomes part of a subject',
    async () => {
      await Promise.all(illegalTokens.map((id) => refused('invalid_request', () => at(execCall, { pool: id }))));
      await Promise.all(illegalSubjects.map((subject) => refused('invalid_request', () => addressIn(frames, subject))));
      assert.equal(at(execCall, { pool: 'a.b*>' }).subject, 'caf.exec.call.v2.a=2Eb=2A=3E');
    },
  ],
];

const frameOf = (stream: string): readonly [StreamFrame, string] => [
  { type: 'heartbeat', assignment_id: stream, attempt: 1, seq: 0 },
  `beamline.exec.v2.frames.g1.${stream}`,
];

export const eventCases: readonly Case[] = [
  [
    'events arrive whatever their urgency, and one sent soon arrives before the next one sent now',
    async ({ bus, peer }) => {
      const got: string[] = [];
      peer.subscribe(beat, {}, ({ worker_id }) => void got.push(worker_id));
      await peer.flush();
      bus.publish(beat, heartbeat('record'), correlation, 'batched');
      bus.publish(beat, heartbeat('first'), correlation, 'soon');
      bus.publish(beat, heartbeat('second'), correlation, 'now');
      await until('all three', () => got.length === 3);
      assert.deepEqual(
        got.filter((name) => name !== 'record'),
        ['first', 'second'],
      );
      bus.publish(beat, heartbeat('alone'), correlation, 'soon');
      await until('the one that nothing followed', () => got.at(-1) === 'alone');
    },
  ],
  [
    'a flush waits for what has not left yet',
    async ({ bus, peer }) => {
      const got: string[] = [];
      peer.subscribe(beat, {}, ({ worker_id }) => void got.push(worker_id));
      await peer.flush();
      for (const urgency of ['batched', 'soon', 'now'] as const) {
        bus.publish(beat, heartbeat(urgency), correlation, urgency);
      }
      await bus.flush();
      await peer.flush();
      await until('all', () => got.length === 3);
    },
  ],
  [
    'an event reaches every subscriber, one of each queue group, and patterns',
    async ({ bus, peer }) => {
      const got: Record<string, string[]> = { one: [], two: [], group: [], pattern: [] };
      const into = (name: string) => (frame: StreamFrame) => void got[name]?.push(frame.assignment_id);
      const [, exact] = frameOf('s1');
      bus.subscribe(addressIn(frames, exact), {}, into('one'));
      peer.subscribe(addressIn(frames, exact), {}, into('two'));
      bus.subscribe(addressIn(frames, exact), { queue: 'q' }, into('group'));
      peer.subscribe(addressIn(frames, exact), { queue: 'q' }, into('group'));
      peer.subscribe(everyOf(frames, { gateway_id: 'g1' }), {}, into('pattern'));
      peer.subscribe(everyOf(frames, { gateway_id: 'g2' }), {}, into('pattern'));
      await Promise.all([bus.flush(), peer.flush()]);
      for (const stream of ['s1', 's2', 's1']) {
        const [frame, subject] = frameOf(stream);
        bus.publish(addressIn(frames, subject), frame, correlation);
      }
      await until('all events', () => got['pattern']?.length === 3 && Object.values(got).flat().length === 9);
      assert.deepEqual(got, { one: ['s1', 's1'], two: ['s1', 's1'], group: ['s1', 's1'], pattern: ['s1', 's2', 's1'] });
    },
  ],
  [
    'an invalid or too large event does not leave',
    async ({ bus, peer }) => {
      const got: string[] = [];
      peer.subscribe(beat, {}, (message) => void got.push(message.worker_id));
      await peer.flush();
      await refused('internal', () => bus.publish(beat, heartbeat('')));
      const metadata = { filler: 'x'.repeat(MESSAGE_BYTES_MAX) };
      await refused('payload_too_large', () => bus.publish(beat, { ...heartbeat('huge'), metadata }));
      bus.publish(beat, heartbeat('good'));
      await until('the good one', () => got.length > 0);
      assert.deepEqual(got, ['good']);
    },
  ],
  [
    'an event of v2 leaves with its correlation only, and enters with one tenant only',
    async ({ bus, peer, metrics }) => {
      const got: string[] = [];
      const cancels = at(cancel);
      bus.subscribe(cancels, {}, ({ assignment_id }) => void got.push(assignment_id));
      bus.subscribe(everyOf(frames), {}, ({ seq }) => void got.push(`frame ${seq}`));
      await bus.flush();
      const of = (id: string): Cancel => ({
        version: '2',
        tenant_id: 'acme',
        assignment_id: id,
        attempt: 1,
        requested_at_ms: 1,
        reason: 'deadline',
      });
      const [, subject] = frameOf('s1');
      const frame = (seq: number): StreamFrame => ({ type: 'heartbeat', assignment_id: 'a', attempt: 1, seq });
      await refused('internal', () => peer.publish(cancels, of('bare')));
      await refused('internal', () => peer.publish(addressIn(frames, subject), frame(0)));
      peer.publish(cancels, of('foreign'), { ...correlation, tenantId: 'umbrella' });
      peer.publish(cancels, of('nobody'), { ...correlation, tenantId: '-' });
      peer.publish(cancels, of('good'), correlation);
      peer.publish(addressIn(frames, subject), frame(0), correlation);
      peer.publish(addressIn(frames, subject), frame(1));
      await until('those that are in order', () => got.length === 4);
      assert.deepEqual(got, ['nobody', 'good', 'frame 0', 'frame 1']);
      assert.match(
        metrics(),
        /bus_contract_violations_total\{contract="caf\.exec\.cancel\.v2",rule="tenant_mismatch"\} 1\n/,
      );
    },
  ],
  [
    'a subscriber that throws disturbs nobody',
    async ({ bus, peer }) => {
      const got: string[] = [];
      peer.subscribe(beat, {}, () => {
        throw new Error('broken');
      });
      peer.subscribe(beat, {}, () => Promise.reject(new Error('broken')));
      peer.subscribe(beat, {}, (message) => void got.push(message.worker_id));
      await peer.flush();
      bus.publish(beat, heartbeat('a'));
      bus.publish(beat, heartbeat('b'));
      await until('both', () => got.length === 2);
    },
  ],
  [
    'a slow subscriber drops and counts, and the others go on',
    async ({ bus, metrics }) => {
      const held = gate();
      const slow: string[] = [];
      const fast: string[] = [];
      bus.subscribe(beat, { pendingMax: 2 }, async (message) => {
        await held.opened;
        slow.push(message.worker_id);
      });
      bus.subscribe(beat, {}, (message) => void fast.push(message.worker_id));
      await bus.flush();
      for (const id of ['a', 'b', 'c', 'd', 'e']) bus.publish(beat, heartbeat(id));
      await until('the fast one has all', () => fast.length === 5);
      held.open();
      await until('the slow one has what it took', () => slow.length === 2);
      assert.deepEqual(slow, ['a', 'b']);
      assert.match(metrics(), /bus_dropped_total\{subject="caf\.worker\.heartbeat\.v1",reason="pending_max"\} 3/);
    },
  ],
  [
    'draining a subscription waits for its handlers and takes no more',
    async ({ bus, peer }) => {
      const held = gate();
      const ended: string[] = [];
      const subscription = bus.subscribe(beat, {}, async (message) => {
        await held.opened;
        ended.push(message.worker_id);
      });
      await bus.flush();
      peer.publish(beat, heartbeat('a'));
      await until('a handler runs', () => subscription.pending === 1);
      const drained = subscription.drain().then(() => void ended.push('drained'));
      await bus.flush();
      peer.publish(beat, heartbeat('b'));
      await peer.flush();
      held.open();
      await drained;
      assert.deepEqual(ended, ['a', 'drained']);
    },
  ],
  [
    'draining the bus answers what it took, then refuses',
    async ({ bus, peer }) => {
      const held = gate();
      const states: string[] = [];
      using _ = bus.onState((state) => void states.push(state));
      const serving = bus.serve(pool, workers, async (request) => {
        await held.opened;
        return accepted(request);
      });
      await bus.flush();
      const request = peer.request(pool, assignment('a'), soon);
      await until('a handler runs', () => serving.pending === 1);
      const drained = bus.drain();
      held.open();
      assert.equal((await request).status, 'accepted');
      await drained;
      assert.deepEqual([bus.state, states], ['closed', ['closed']]);
      await refused('unavailable', bus.request(pool, assignment('b'), soon));
      await refused('unavailable', () => bus.publish(beat, heartbeat('a')));
    },
  ],
];
