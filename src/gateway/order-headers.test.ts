import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressIn } from '../contracts/contract.ts';
import { frames } from '../contracts/frames.ts';
import { BeamlineError } from '../core/errors.ts';
import { requestOf } from './decide-client.ts';
import { CHAT, endFrame, openEdge } from './edge-fixture.ts';
import { readOrderHeaders } from './order-headers.ts';
import { ORDER } from './relay-fixture.ts';
import { addWishes } from './wishes.ts';

const read = (headers: Readonly<Record<string, string>>) => readOrderHeaders(headers, 300_000);
const codeOf = (headers: Readonly<Record<string, string>>): string => {
  try {
    read(headers);
    return 'ok';
  } catch (fault) {
    return BeamlineError.from(fault).code;
  }
};

test('what a caller wishes of a decision reaches the router', () => {
  const { wishes } = read({
    'x-beamline-max-cost': '1500',
    'x-beamline-priority': 'high',
    'x-beamline-metadata': '{"team":"lakes"}',
  });
  const request = requestOf(
    { ...ORDER, attemptsMax: 2, wishes },
    {
      deliverTo: addressIn(frames, 'beamline.exec.v2.frames.gw-1.0'),
      timeLeftMs: 1,
      isReask: false,
      tenant: undefined,
    },
  );
  assert.deepEqual(
    [request.constraints, request.options, request.metadata],
    [{ max_cost_micro_usd: 1500 }, { priority: 75, retry: { max_attempts: 2 } }, { team: 'lakes' }],
  );
});

test('a body that says it wins, and the smaller cost', () => {
  const request = { constraints: { max_cost_micro_usd: 10 }, options: { priority: 1 }, metadata: { team: 'rivers' } };
  addWishes(request, { maxCostMicroUsd: 20, priority: 75, metadata: { team: 'lakes', of: 'x' } });
  assert.deepEqual(request, {
    constraints: { max_cost_micro_usd: 10 },
    options: { priority: 1 },
    metadata: { team: 'rivers', of: 'x' },
  });
});

test('the canonical name wins over its alias, whichever comes first', () => {
  const priorities = [
    ['x-beamline-priority', 'low'],
    ['x-gateway-inference-objective', 'high'],
  ];
  for (const order of [priorities, priorities.toReversed()]) {
    assert.deepEqual(read(Object.fromEntries(order)).wishes, { priority: 25 });
  }
  assert.deepEqual(read({ 'x-portkey-metadata': '{"a":"b"}' }).wishes, { metadata: { a: 'b' } });
});

const many = Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`k${n}`, 'v']));
const ILLEGAL: readonly (readonly [string, string])[] = [
  ['x-beamline-max-cost', '-1'],
  ['x-beamline-max-cost', '0.5'],
  ['x-beamline-priority', 'urgent'],
  ['x-beamline-metadata', '{"a":1}'],
  ['x-beamline-metadata', '{"a":{"b":"c"}}'],
  ['x-beamline-metadata', '["a"]'],
  ['x-beamline-metadata', 'nonsense'],
  ['x-beamline-metadata', JSON.stringify(many)],
  ['x-beamline-metadata', JSON.stringify({ a: 'x'.repeat(2_048) })],
  ['x-beamline-tags', ''],
  ['x-beamline-tags', 'a,,b'],
  ['x-beamline-tags', 'x'.repeat(65)],
  ['x-beamline-tags', Array.from({ length: 17 }, (_, n) => n).join()],
  ['x-beamline-explain', 'yes'],
  ['x-beamline-resumable', '2'],
];

for (const [name, value] of ILLEGAL) {
  test(`${name} may not be ${value.slice(0, 30)}`, () => assert.equal(codeOf({ [name]: value }), 'invalid_request'));
}

test('an alias with an illegal value asks for nothing', () => {
  assert.equal(read({ 'x-portkey-metadata': '{', 'x-gateway-inference-objective': 'soon' }).wishes, undefined);
});

test('what is not built is refused, not taken for nothing', async () => {
  assert.deepEqual(codeOf({ 'x-beamline-resumable': '1' }), 'not_implemented');
  assert.deepEqual(codeOf({ 'x-beamline-resumable': '0', 'x-beamline-explain': '1' }), 'ok');
  await using edge = await openEdge({ script: ({ reader }) => reader.end(endFrame('{}')) });
  for (const path of ['/v1/chat/completions', '/api/v1/routes/decide']) {
    const answer = await fetch(edge.url + path, {
      method: 'POST',
      headers: { ...edge.headers, 'x-beamline-tags': 'lakes' },
      body: JSON.stringify(CHAT),
    });
    assert.equal(answer.status, 501);
  }
});
