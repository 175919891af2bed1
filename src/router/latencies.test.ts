import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from '../telemetry/metrics.ts';
import { Average, Latencies } from './latencies.ts';

test('an average begins with its first result and moves by a fifth', () => {
  const average = new Average();
  assert.equal(average.isFresh(0), false);
  average.add(100, 0);
  average.add(200, 1);
  assert.deepEqual([average.ms, average.samples, average.isFresh(300_001)], [120, 2, true]);
  assert.equal(average.isFresh(300_002), false);
  average.add(50, 300_002);
  assert.deepEqual([average.ms, average.samples], [50, 1], 'it starts anew');
});

test('no counted result is older than five minutes, also where they trickle in', () => {
  const average = new Average();
  const sentMs: number[] = [];
  for (let nowMs = 0; nowMs < 3_000_000; nowMs += 70_000) {
    average.add(100, nowMs);
    sentMs.push(nowMs);
    const young = sentMs.filter((ms) => nowMs - ms <= 300_000).length;
    assert.ok(average.samples >= 1 && average.samples <= young, `${average.samples} of ${young}`);
  }
});

test('streams are known by their first chunk, other answers by their end', () => {
  const latencies = new Latencies(new Metrics());
  latencies.add('acme', 'alder', { firstChunkMs: 80, totalMs: 900 }, 0);
  latencies.add('acme', 'alder', { firstChunkMs: undefined, totalMs: 500 }, 0);
  const { stream, whole } = latencies.of('acme').get('alder') ?? {};
  assert.deepEqual([stream?.ms, whole?.ms], [80, 500]);
  assert.equal(latencies.of('umbra').size, 0);
});
