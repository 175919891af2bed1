// What a call that failed is billed: whatever may have left the machine, and was refused by nobody.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus } from '../bus/bus.ts';
import { BeamlineError } from '../core/errors.ts';
import type { ExecutionFailure } from '../core/execution-errors.ts';
import { openWorker, settled } from './worker-fixture.ts';

const failure = (code: ExecutionFailure['code'], detailCode?: string, httpStatus?: number): ExecutionFailure => ({
  code,
  message: 'failed',
  ...(detailCode === undefined ? {} : { detailCode }),
  ...(httpStatus === undefined ? {} : { httpStatus }),
});
const ENDS: readonly (readonly [string, ExecutionFailure, boolean])[] = [
  ['a connection that is reset after the request', failure('NETWORK_ERROR', 'reset'), true],
  ['a connection that is closed after the request', failure('NETWORK_ERROR', 'closed'), true],
  ['a connection that is refused', failure('NETWORK_ERROR', 'refused'), false],
  ['a name without an address', failure('NETWORK_ERROR', 'dns'), false],
  ['an answer that breaks off', failure('PROVIDER_PROTOCOL_ERROR', 'truncated'), true],
  ['an answer that cannot be read', failure('PROVIDER_PROTOCOL_ERROR', 'garbage'), true],
  ['a redirect', failure('PROVIDER_PROTOCOL_ERROR', 'redirect', 307), false],
  ['a provider that is too slow', failure('CONNECTION_TIMEOUT', 'first_chunk'), true],
  ['a connection that is not made in time', failure('CONNECTION_TIMEOUT', 'connect'), false],
  ['a refusal by the limit', failure('PROVIDER_RATE_LIMITED', undefined, 429), false],
  ['a provider that has a fault', failure('PROVIDER_UNAVAILABLE', 'http_5xx', 500), false],
  ['too many open calls', failure('SYSTEM_OVERLOAD', 'connections'), false],
];

for (const [what, end, isCharged] of ENDS) {
  test(`${what} is ${isCharged ? 'billed as an estimate' : 'not billed'}`, async () => {
    const { provider, heard, call, stop } = await openWorker();
    await call({ stream: false });
    provider.sinks[0]?.fail(end);
    await settled();
    const [result] = heard.results;
    assert.equal(result?.error_code, end.code);
    assert.deepEqual(
      [result?.usage?.estimated, result?.usage?.output_tokens],
      isCharged ? [true, 0] : [undefined, undefined],
    );
    assert.equal((result?.usage?.input_tokens ?? 0) > 0, isCharged);
    await stop();
  });
}

test('a call that its stopping worker cuts is billed as an estimate', async () => {
  const { heard, call, worker, bus, timers, pass } = await openWorker();
  await call();
  const stopped = worker[Symbol.asyncDispose]();
  await settled();
  for (let i = 0; i < 45; i++) pass(100);
  await stopped;
  await settled();
  assert.deepEqual(
    heard.results.map(({ error_code, usage }) => [error_code, usage?.estimated]),
    [['WORKER_UNAVAILABLE', true]],
  );
  await bus[Symbol.asyncDispose]();
  timers[Symbol.dispose]();
});

/** From now on the bus refuses frames of this type. */
function refuse(bus: Bus, type: string): void {
  const publish = bus.publish.bind(bus);
  const refusing: Bus['publish'] = (to, message, ...rest) => {
    if ((message as { readonly type?: unknown }).type === type) throw new BeamlineError('unavailable', 'no connection');
    publish(to, message, ...rest);
  };
  Object.assign(bus, { publish: refusing });
}

const USAGE = { inputTokens: 10, outputTokens: 4, cachedInputTokens: 0, reasoningTokens: 0 };

test('a large whole answer whose parts cannot leave is billed as the provider measured it', async () => {
  const { bus, provider, heard, call, stop } = await openWorker();
  await call({ stream: false });
  refuse(bus, 'chunk');
  const raw = JSON.stringify({ text: 'x'.repeat(500_000) });
  provider.sinks[0]?.end({ model: 'm', finishReason: 'stop', usage: USAGE, raw, outputChars: 500_000 });
  await settled();
  assert.deepEqual(
    heard.results.map(({ error_code, usage }) => [error_code, usage?.estimated, usage?.cost_micro_usd]),
    [['STREAM_INTERRUPTED', undefined, 18]],
  );
  await stop();
});

test('a whole answer over the bound is refused, and billed as measured', async () => {
  const { provider, heard, call, stop } = await openWorker();
  await call({ stream: false });
  const raw = 'x'.repeat(16_777_217);
  provider.sinks[0]?.end({ model: 'm', finishReason: 'stop', usage: USAGE, raw, outputChars: 4 });
  await settled();
  assert.deepEqual(
    heard.results.map(({ error_code, usage }) => [error_code, usage?.cost_micro_usd]),
    [['OUTPUT_TOO_LARGE', 18]],
  );
  await stop();
});

test('a call whose first frame cannot leave asked no provider, and one whose heartbeat cannot did', async () => {
  const { bus, provider, heard, call, pass, stop } = await openWorker();
  await call();
  refuse(bus, 'heartbeat');
  pass(1_100);
  refuse(bus, 'start');
  await call({ assignment_id: 'a-2' });
  await settled();
  assert.equal(provider.sinks.length, 1);
  assert.deepEqual(
    heard.results.map(({ assignment_id, error_code, usage }) => [assignment_id, error_code, usage?.estimated]),
    [
      ['a-1', 'WORKER_LOST', true],
      ['a-2', 'WORKER_LOST', undefined],
    ],
  );
  await stop();
});
