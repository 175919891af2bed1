import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startNatsServer } from '../../test/nats-server.ts';
import { until } from '../../test/until.ts';
import { openGround } from '../bus/conformance-fixture.ts';
import { openNatsBus } from '../bus/nats.ts';
import { backpressureV2 } from '../contracts/backpressure.ts';
import { at } from '../contracts/contract.ts';
import { serveBackpressure } from './backpressure.ts';
import { CORRELATION } from './router-fixture.ts';

test('over NATS the calmest of the routers is heard, and an active one when all are', async () => {
  const server = await startNatsServer();
  const ground = openGround();
  const { timers } = ground;
  const busOf = (name: string) => openNatsBus({ url: server.url, name, timers, telemetry: openGround().telemetry });
  const loads = [{ size: 901 }, { size: 901 }, { size: 0 }];
  const buses = await Promise.all(loads.map((_, n) => busOf(`r-${n}`)));
  const asking = await busOf('gateway');
  const routers = loads.map((inFlight, n) =>
    serveBackpressure({
      bus: buses[n] ?? assert.fail(),
      timers,
      telemetry: openGround().telemetry,
      settings: { id: `r-${n}`, in_flight_max: 1_000 },
      fleet: { room: () => ({ slotsFree: 1, isFull: false }) },
      inFlight,
      decides: { pending: 0, takeP95Ms: () => 0 },
    }),
  );
  await Promise.all(buses.map((bus) => bus.flush()));
  const ask = async () => {
    const query = { version: '2' as const, request_id: 'rq-1' };
    // What it waits for is in the answers, so a machine that is busy fails nothing.
    const { data } = await asking.request(at(backpressureV2), query, { timeoutMs: 10_000, correlation: CORRELATION });
    return data;
  };
  await until('active routers', () => routers.filter(({ level }) => level === 'active').length === 2);
  assert.deepEqual([(await ask())?.router_id, (await ask())?.status], ['r-2', 'inactive']);
  for (const load of loads) load.size = 901;
  await until('the last one', () => routers.every(({ level }) => level === 'active'));
  assert.equal((await ask())?.status, 'active');
  await Promise.all(routers.map((router) => router[Symbol.asyncDispose]()));
  await Promise.all([...buses, asking].map((bus) => bus.drain()));
  await server.stop();
  ground[Symbol.dispose]();
});
