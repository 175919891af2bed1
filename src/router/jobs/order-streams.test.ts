import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../../bus/memory.ts';
import type { ExecAssignment } from '../../contracts/assignment.ts';
import { ManualClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { OrderStreams } from './order-streams.ts';

const order = (attempt: number, pool: string): ExecAssignment => ({
  version: '1',
  assignment_id: 'a-1',
  request_id: 'rq-1',
  tenant_id: 'acme',
  attempt,
  executor: { provider_id: 'alder', channel: 'nats', pool },
  job: { type: 'ai.chat' },
  options: { deadline_ms: 1_000 },
});

test('an attempt stands where it was stored, and not where another one has its number', async () => {
  using timers = new Timers(new ManualClock(1));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  await using bus = openMemoryBus({ timers, telemetry });
  const streams = new OrderStreams(bus);
  const ref = { tenantId: 'acme', assignmentId: 'a-1' };
  for (const pool of ['default', 'gpu']) {
    // eslint-disable-next-line no-await-in-loop -- one pool after the other
    const acks = [await streams.append(order(1, pool), pool), await streams.append(order(2, pool), pool)];
    assert.deepEqual(
      acks.map(({ seq }) => seq),
      [1, 2],
    );
    assert.equal((await streams.append(order(1, pool), pool)).duplicate, true);
    const held = [1, 2, 3].flatMap((attempt) => [1, 2].map((seq) => streams.holds(ref, { attempt, pool }, seq)));
    // eslint-disable-next-line no-await-in-loop -- as above
    assert.deepEqual(await Promise.all(held), [true, false, false, true, false, false]);
    // eslint-disable-next-line no-await-in-loop -- as above
    assert.equal(await streams.holds({ ...ref, tenantId: 'globex' }, { attempt: 1, pool }, 1), false);
  }
});
