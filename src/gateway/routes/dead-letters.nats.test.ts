// Dead letters over HTTP where their stream is that of a real server: paged backwards over gaps, replayed, discarded.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startNatsServer } from '../../../test/nats-server.ts';
import { giveLetter } from '../../bus/letter-fixture.ts';
import { openNatsBus } from '../../bus/nats.ts';
import { deadLetterStream, resultStream } from '../../contracts/streams.ts';
import { systemClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { openEdge } from '../edge-fixture.ts';

test('letters of a server are paged, replayed once and discarded', async () => {
  await using opening = new AsyncDisposableStack();
  const server = await startNatsServer();
  opening.defer(() => server.stop());
  const timers = opening.use(new Timers(systemClock, { tickMs: 5 }));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = opening.use(await openNatsBus({ url: server.url, name: 'test', timers, telemetry }));
  const { url, headers } = opening.use(await openEdge({ bus, tenants: ['kestrel'], role: 'operator' }));
  const ask = async (method: string, path: string): Promise<readonly [number, Record<string, unknown>]> => {
    const response = await fetch(`${url}/api/v1/dlq${path}`, { method, headers });
    const text = await response.text();
    return [response.status, text === '' ? {} : (JSON.parse(text) as Record<string, unknown>)];
  };
  const idsOf = (list: Record<string, unknown>): readonly string[] =>
    (list['data'] as readonly { readonly id: string }[]).map(({ id }) => id);

  const [none, empty] = await ask('GET', '');
  assert.deepEqual([none, empty['data']], [200, []], 'nobody made the stream yet');

  for (const stream of [deadLetterStream, resultStream]) await bus.ensureStream(stream);
  for (let number = 1; number <= 40; number++) await giveLetter(bus, `dlq:CAF_RESULT:${number}`);
  for (const seq of [1, 2, 20, 21, 22, 40]) await bus.remove(deadLetterStream, seq);
  const [, first] = await ask('GET', '?limit=20');
  assert.deepEqual([idsOf(first).length, idsOf(first)[0], idsOf(first).at(-1)], [20, '39', '17']);
  const { next_cursor: cursor } = first['pagination'] as { readonly next_cursor: string };
  const [, rest] = await ask('GET', `?limit=20&cursor=${cursor}`);
  assert.deepEqual([idsOf(rest).length, idsOf(rest)[0], idsOf(rest).at(-1)], [14, '16', '3']);

  const [status, replayed] = await ask('POST', '/39/replay');
  assert.deepEqual([status, replayed['outcome'], replayed['id']], [200, 'replayed', '41']);
  assert.equal((await ask('POST', '/39/replay'))[0], 404);
  assert.equal((await bus.read(resultStream, { fromSeq: 1, limit: 9 })).length, 1);
  assert.equal((await ask('DELETE', '/41?reason=done'))[0], 204);
  assert.equal((await ask('GET', '/41'))[0], 404);
});
