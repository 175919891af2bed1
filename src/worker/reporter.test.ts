import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { at } from '../contracts/contract.ts';
import { frames } from '../contracts/frames.ts';
import { resultStream } from '../contracts/streams.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { Reporter } from './reporter.ts';

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A worker's voice on a bus whose stream of results is full, with nothing that keeps results. */
async function openFull() {
  const clock = new ManualClock();
  const timers = new Timers(clock);
  const metrics = new Metrics();
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics };
  const bus = openMemoryBus({ timers, telemetry });
  await bus.ensureStream({ ...resultStream, bytesMax: 1 });
  const reporter = new Reporter({ bus, timers, telemetry, outbox: undefined });
  const ids = { assignment_id: 'asg_1', tenant_id: 'acme', attempt: 1 };
  reporter.end(
    {
      frame: undefined,
      to: at(frames, { gateway_id: 'g', stream_id: 's' }),
      outcome: {
        version: '2',
        ...ids,
        worker_id: 'w-1',
        provider_id: 'alder',
        state: 'succeeded',
        committed: true,
        request_id: 'rq-1',
        latency_ms: 1,
        timestamp_ms: 1,
      },
      result: { ...ids, status: 'success' },
    },
    { traceId: 't-1', tenantId: 'acme' },
  );
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 250) {
      clock.advance(250);
      timers.tick();
      // eslint-disable-next-line no-await-in-loop -- what a step of the clock causes comes before the next one
      await settled();
    }
  };
  return {
    pass,
    lost: () => /worker_results_lost_total 1\n/.test(metrics.render()),
    stored: async () => (await bus.read(resultStream, { fromSeq: 1, limit: 10 })).length,
    makeRoom: () => bus.ensureStream(resultStream),
    async [Symbol.asyncDispose]() {
      await reporter.flush();
      await bus.drain();
      timers[Symbol.dispose]();
    },
  };
}

test('the result of a call that nothing keeps is tried for while its stream is full, and stored when there is room', async () => {
  await using worker = await openFull();
  await worker.pass(15_000);
  assert.equal(worker.lost(), false);
  await worker.makeRoom();
  await worker.pass(2_000);
  assert.deepEqual([await worker.stored(), worker.lost()], [1, false]);
});

test('it is given up, and counted, when the stream stays full', async () => {
  await using worker = await openFull();
  await worker.pass(25_000);
  assert.equal(worker.lost(), true);
  await worker.makeRoom();
  await worker.pass(25_000);
  assert.equal(await worker.stored(), 0);
});
