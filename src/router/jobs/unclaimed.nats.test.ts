import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startNatsServer } from '../../../test/nats-server.ts';
import { until } from '../../../test/until.ts';
import { openGround } from '../../bus/conformance-fixture.ts';
import { openNatsBus } from '../../bus/nats.ts';
import { assignmentIdOf } from '../../contracts/job.ts';
import { assignStream } from '../../contracts/streams.ts';
import { JOB_ID, openJobs, orderOf } from './jobs-fixture.ts';

const ORDERS = assignStream('default');

test('an attempt that a killed server has lost is sent again under its id', async () => {
  const server = await startNatsServer();
  using ground = openGround();
  const { telemetry } = openGround();
  const bus = await openNatsBus({ url: server.url, name: 'router', timers: ground.timers, telemetry });
  const jobs = await openJobs(undefined, { hasWorker: false, bus });
  await jobs.start();
  await jobs.ask(orderOf());
  await until('the attempt', async () => (await jobs.state())?.attempts.length === 1);
  assert.equal(await bus.remove(ORDERS, 1), true);
  // A server forgets the ids of what it does not hold any more.
  await server.restart();
  const orders = () => bus.read(ORDERS, { fromSeq: 1, limit: 10 }).catch(() => []);
  const id = `asg:acme:${assignmentIdOf('acme', JOB_ID)}:1`;
  const again = await until('the same attempt', async () => {
    jobs.clock.advance(1_000);
    jobs.timers.tick();
    return (await orders())[0];
  });
  assert.equal(again.headers['Nats-Msg-Id'], id);
  await until('its new number', async () => (await jobs.state())?.attempts[0]?.stored_seq === again.seq);
  assert.equal((await jobs.state())?.attempts.length, 1);
  await jobs.stop();
  await server.stop();
});
