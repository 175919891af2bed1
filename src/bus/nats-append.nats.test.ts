// What a publisher makes of each answer of a server, told by one that answers as the test says.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { type NatsServer, startNatsServer } from '../../test/nats-server.ts';
import { at } from '../contracts/contract.ts';
import { execResult } from '../contracts/result.ts';
import type { Bus } from './bus.ts';
import { correlation, type Ground, openGround, refused } from './conformance-fixture.ts';
import { openNatsBus } from './nats.ts';

const GOOD = { stream: 'CAF_RESULT', seq: 7 };
const failure = (code: number, err_code?: number, description = 'no') => ({
  stream: 'CAF_RESULT',
  seq: 0,
  error: { code, ...(err_code === undefined ? {} : { err_code }), description },
});

let server: NatsServer;
let raw: NatsConnection;
let ground: Ground;
let bus: Bus;
/** What is answered next; the last one is answered again and again. Undefined: nothing. */
let script: (object | undefined)[] = [];
let ids: (string | undefined)[] = [];

before(async () => {
  server = await startNatsServer();
  ground = openGround();
  raw = await connect({ servers: server.url });
  raw.subscribe(execResult.template, {
    callback: (_, msg: Msg) => {
      ids.push(msg.headers?.get('Nats-Msg-Id'));
      const answer = script.length > 1 ? script.shift() : script[0];
      if (answer !== undefined) msg.respond(JSON.stringify(answer));
    },
  });
  await raw.flush();
  bus = await openNatsBus({ url: server.url, name: 'bus', ...ground });
});
after(async () => {
  await bus.drain();
  await raw.close();
  await server.stop();
  ground[Symbol.dispose]();
});

function append(answers: (object | undefined)[], timeoutMs = 10_000) {
  script = answers;
  ids = [];
  const result = { assignment_id: 'a', tenant_id: 'acme', status: 'success' } as const;
  return bus.append(at(execResult), result, { messageId: 'res:acme:a:1', timeoutMs, correlation });
}

const temporary: readonly (readonly [name: string, answer: object | undefined])[] = [
  ['jetstream not enabled', failure(503, 10_076)],
  ['jetstream not enabled for account', failure(503, 10_039)],
  ['jetstream system temporarily unavailable', failure(503, 10_008)],
  ['an error without a code of its own', failure(503)],
  ['stream is offline', failure(500, 10_118)],
  ['not the leader', failure(500, 10_009)],
  ['the id is in process', failure(409, 10_158)],
  ['a duplicate of what was never stored', { stream: 'CAF_RESULT', seq: 0, duplicate: true }],
  ['silence', undefined],
];
for (const [name, answer] of temporary) {
  test(`"${name}" is temporary: the message is repeated under one id until it is confirmed`, async () => {
    assert.equal((await append([answer, answer, GOOD])).seq, 7);
    assert.deepEqual(ids, Array(3).fill('res:acme:a:1'));
  });
}

test('what stays temporary ends as unavailable when the time is over', async () => {
  const fault = await refused('unavailable', append([{ stream: 'CAF_RESULT', seq: 0, duplicate: true }], 1_500));
  assert.equal(fault.details['reason'], 'not_confirmed');
  assert.ok(ids.length > 1);
});

test('a full store is told at once, and by its name', async () => {
  for (const code of [10_023, 10_047, 10_077]) {
    // eslint-disable-next-line no-await-in-loop -- one script at a time
    const fault = await refused('unavailable', append([failure(503, code)]));
    assert.deepEqual([fault.details['reason'], ids.length], ['stream_full', 1]);
  }
});

test('what no repeat can help is told at once', async () => {
  await refused('internal', append([failure(400, 10_060)]));
  assert.equal(ids.length, 1);
});

test('a duplicate of what is stored is a confirmation', async () => {
  assert.deepEqual(await append([{ ...GOOD, duplicate: true }]), { ...GOOD, duplicate: true });
});
