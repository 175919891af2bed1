import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startNatsServer } from '../../test/nats-server.ts';
import { openGround } from '../bus/conformance-fixture.ts';
import { openNatsBus } from '../bus/nats.ts';
import { factsFor, openRecords, policyOf } from './admin-records-fixture.ts';

const POLICY = policyOf({ alder: 50, birch: 50 });

test('over NATS, of three routers the one that knows a request answers, whoever of the group is asked', async () => {
  const server = await startNatsServer();
  const ground = openGround();
  const { timers } = ground;
  const busOf = (name: string) => openNatsBus({ url: server.url, name, timers, telemetry: openGround().telemetry });
  const buses = await Promise.all(['r-1', 'r-2', 'r-3'].map(busOf));
  const asking = await busOf('gateway');
  const records = await openRecords();
  const logs = buses.map((bus) => records.join({ bus, timers }));
  for (const [n, log] of logs.entries()) records.decided(log, POLICY, factsFor(`rq-${n}`));
  await Promise.all(buses.map((bus) => bus.flush()));
  const ask = (request_id: string) => records.ask('get_decision', { tenant_id: 'acme', request_id }, 'acme', asking);
  // Three times each, so that the queue group's turn falls on others than the one that knows.
  const known = ['rq-0', 'rq-1', 'rq-2'].flatMap((id) => [id, id, id]);
  const told = await Promise.all(known.map(ask));
  assert.deepEqual(
    told.map(({ result, error }) => result?.['request_id'] ?? error?.code),
    known,
  );
  assert.equal((await ask('rq-9')).error?.code, 'not_found');
  await Promise.all([...buses, asking].map((bus) => bus.drain()));
  await server.stop();
  ground[Symbol.dispose]();
});
