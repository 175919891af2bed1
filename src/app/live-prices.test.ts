import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../test/until.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { readConfig } from '../config/read.ts';
import { priceBucket, priceKey } from '../contracts/ledger.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { openLivePrices } from './live-prices.ts';

const NOW_MS = Date.UTC(2026, 10, 21);
const USAGE = { inputTokens: 1_000_000, outputTokens: 0, cachedInputTokens: 0 };

const document = (lines: readonly object[], version = 'v1'): string =>
  JSON.stringify({ version, currency: 'USD', lines });
const line = (input: number, from = '2026-01-01T00:00:00.000Z', model = 'small') => ({
  provider: 'alder',
  model,
  effective_from: from,
  input,
  output: 0,
});

async function open(before?: string) {
  const timers = new Timers(new ManualClock(NOW_MS));
  const lines: string[] = [];
  const telemetry = { log: openLog('info', { write: (text) => void lines.push(text) }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const bucket = await bus.openBucket(priceBucket);
  if (before !== undefined) await bucket.put(priceKey, before);
  const models = { small: { price: { input: 5, output: 7 } } };
  const list = [{ id: 'alder', type: 'sim', models }];
  const { config } = readConfig({ env: {}, defaults: { 'providers.list': list } });
  const prices = await openLivePrices({ config, timers, telemetry }, bus, telemetry.log);
  const costOf = (model = 'small', atMs?: number): number =>
    prices.costOf('alder', model, USAGE, ...(atMs === undefined ? [] : [atMs])).costMicroUsd;
  return {
    bucket,
    prices,
    costOf,
    lines,
    async [Symbol.asyncDispose]() {
      await prices[Symbol.asyncDispose]();
      await bus[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
    },
  };
}

test('without a document the configuration holds, and its lines stay below one', async () => {
  await using world = await open();
  const { bucket, prices, costOf } = world;
  assert.equal(costOf(), 5);
  assert.equal(prices.ceilingOf('small', undefined)?.input, 5);
  await bucket.put(priceKey, document([line(40), line(3, undefined, 'large')]));
  await until('the document counts', () => costOf() === 40);
  assert.equal(costOf('large'), 3);
  assert.equal(prices.ceilingOf('small', ['alder'])?.input, 40);
  assert.equal(prices.lineOf('alder', 'small')?.version, 'v1');
  await bucket.delete(priceKey);
  await until('the configuration holds again', () => costOf() === 5);
  assert.equal(prices.lineOf('alder', 'large'), undefined);
});

test('a document that stands there counts from the start, and a line of tomorrow not before tomorrow', async () => {
  await using world = await open(document([line(40), line(90, '2026-11-22T00:00:00.000Z')]));
  assert.equal(world.costOf(), 40);
  assert.equal(world.costOf('small', NOW_MS + 86_400_000), 90);
});

test('a document that cannot be read changes nothing, and is told', async () => {
  await using world = await open(document([line(40)]));
  const { bucket, costOf, lines } = world;
  await bucket.put(priceKey, '{"version":');
  await until('it is told', () => lines.some((text) => text.includes('price_document_invalid')));
  assert.equal(costOf(), 40);
  await bucket.put(priceKey, document([line(41)], 'v2'));
  await until('the next one counts', () => costOf() === 41);
});
