// Attempts whose workers are not heard of again: what their router bills, and when.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPriceBook } from '../catalog/price-book.ts';
import { cancel } from '../contracts/cancel.ts';
import { at } from '../contracts/contract.ts';
import { usageStream } from '../contracts/streams.ts';
import type { UsageEvent } from '../contracts/usage.ts';
import { CORRELATION, openRouter } from './router-fixture.ts';

type World = Awaited<ReturnType<typeof openRouter>>;

const PRICES = openPriceBook([{ provider: 'alder', model: 'small', prices: { input: 1_000_000, output: 2_000_000 } }]);
const open = (document?: object): Promise<World> => openRouter(document, { prices: PRICES });
const usageIn = async ({ bus }: World): Promise<readonly UsageEvent[]> =>
  (await bus.read(usageStream, { fromSeq: 1, limit: 10 })).map(
    ({ body }) => JSON.parse(new TextDecoder().decode(body)) as UsageEvent,
  );
/** Attempt, status, tokens and cost of each event. */
const billed = async (world: World): Promise<unknown> =>
  (await usageIn(world)).map((event) => [
    event.attempt,
    event.status,
    event.input_tokens,
    event.output_tokens,
    event.cost_micro_usd,
  ]);
const ASKED = { estimate: { input_tokens: 30 } };

test('an attempt that nobody tells the end of is billed as an estimate a minute after its deadline', async () => {
  const world = await open();
  await world.decide(ASKED);
  await world.pass(30_000);
  await world.pass(59_000);
  assert.deepEqual(await billed(world), []);
  await world.pass(2_100);
  assert.deepEqual(await billed(world), [[1, 'timeout', 30, 0, 30]]);
  const [event] = await usageIn(world);
  const [pushed] = world.heard.pushed;
  assert.equal(event?.usage_id, `acme:${pushed?.assignment_id}:1`);
  assert.deepEqual([event?.estimated, event?.policy_id, event?.key_id, event?.model], [true, 'test', 'key_1', 'small']);
  await world.pass(120_000);
  assert.equal((await usageIn(world)).length, 1);
  await world.stop();
});

test('a worker that is only late with its word is left to report', async () => {
  const world = await open();
  await world.decide(ASKED);
  await world.pass(31_000);
  await world.outcome({ state: 'timed_out' });
  await world.pass(120_000);
  assert.deepEqual(await billed(world), []);
  await world.stop();
});

test('what the gateway passed on before its cancel is part of the estimate', async () => {
  const world = await open();
  await world.decide(ASKED);
  await world.outcome({ state: 'committed', committed: true });
  const message = {
    version: '2',
    tenant_id: 'acme',
    assignment_id: world.heard.pushed[0]?.assignment_id ?? '',
    requested_at_ms: 1,
    reason: 'client_disconnected',
    delivered: { output_tokens: 9 },
  } as const;
  world.bus.publish(at(cancel), message, CORRELATION);
  await world.pass(62_000);
  assert.deepEqual(await billed(world), [[1, 'cancelled', 30, 9, 48]]);
  await world.stop();
});

test('each attempt that was lost is billed, and those whose end was told are not', async () => {
  const world = await open();
  world.beat('w-1');
  await world.decide(ASKED);
  await world.pass(3_200);
  assert.equal(world.heard.pushed.length, 2, 'another worker has it');
  await world.outcome({ state: 'succeeded', attempt: 2 });
  await world.pass(62_000);
  assert.deepEqual(await billed(world), [[1, 'error', 30, 0, 30]]);
  await world.stop();
});

test('an attempt that no worker took is not billed', async () => {
  const world = await open();
  world.script.push(
    ...Array.from({ length: 4 }, () => ({ status: 'rejected' as const, reason: 'queue_full' as const })),
  );
  await world.decide(ASKED);
  await world.pass(100_000);
  assert.deepEqual(await billed(world), []);
  await world.stop();
});

test('a router that stops does not wait: a result that comes later adjusts', async () => {
  const world = await open();
  await world.decide(ASKED);
  await world.pass(31_000);
  const { bus } = world;
  const read = bus.read.bind(bus);
  let seen: Promise<unknown> = Promise.resolve();
  const drain = bus.drain.bind(bus);
  // The stream is read before the bus is closed, which the fixture does at the end of its stop.
  Object.assign(bus, {
    [Symbol.asyncDispose]: async () => {
      seen = Promise.resolve((await read(usageStream, { fromSeq: 1, limit: 10 })).length);
      await drain();
    },
  });
  await world.stop();
  assert.equal(await seen, 1);
});
