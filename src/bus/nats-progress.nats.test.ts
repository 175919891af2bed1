import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startNatsServer } from '../../test/nats-server.ts';
import { until } from '../../test/until.ts';
import { at } from '../contracts/contract.ts';
import { execResult } from '../contracts/result.ts';
import { resultStream, routerResults } from '../contracts/streams.ts';
import { correlation, openGround } from './conformance-fixture.ts';
import { openNatsBus } from './nats.ts';

const COUNT = 20;

test('what was acknowledged and stands in its queue again is settled, as a server of 2.9 leaves it that was killed', async () => {
  await using server = await startNatsServer();
  using ground = openGround();
  await using bus = await openNatsBus({ url: server.url, name: 'bus', ...ground });
  const append = (id: string) =>
    bus.append(
      at(execResult),
      { assignment_id: id, tenant_id: 'acme', status: 'success' },
      { messageId: id, timeoutMs: 20_000, correlation },
    );
  const told = () => bus.progress(resultStream, routerResults).catch(() => undefined);
  await bus.ensureStream(resultStream);
  for (let n = 1; n <= COUNT; n++) {
    // eslint-disable-next-line no-await-in-loop -- in order
    await append(`a-${n}`);
  }
  await server.terminate();
  const messages = join(server.store, 'jetstream', '$G', 'streams', resultStream.name, 'msgs');
  const before = join(server.store, 'before');
  cpSync(messages, before, { recursive: true });
  await server.restart();
  const from = { stream: resultStream, consumer: routerResults, message: execResult.message };
  const taking = await bus.consume(from, (delivery) => delivery.ack());
  await until('all are acknowledged', async () => (await told())?.settledSeq === COUNT);
  await taking.drain();
  await server.terminate();
  rmSync(messages, { recursive: true });
  cpSync(before, messages, { recursive: true });
  await server.restart();
  const back = await until('the server', () =>
    bus.read(resultStream, { fromSeq: 1, limit: 99 }).catch(() => undefined),
  );
  assert.equal(back.length, COUNT);
  assert.deepEqual(await told(), { lastSeq: COUNT, settledSeq: COUNT, oldestAtMs: undefined });
  await append('new');
  const seen = await told();
  assert.deepEqual([seen?.lastSeq, seen?.settledSeq], [COUNT + 1, COUNT]);
  assert.ok((seen?.oldestAtMs ?? 0) > (back.at(-1)?.storedAtMs ?? Infinity), 'the new one is the oldest that is left');
});
