import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NewestSamples, percentileOf } from './newest-samples.ts';

const samplesOf = (from: number, to: number): NewestSamples => {
  const samples = new NewestSamples();
  for (let sample = from; sample <= to; sample++) samples.add(sample);
  return samples;
};

test('the p95 of a hundred is the ninety-fifth, of all memories together', () => {
  assert.equal(percentileOf([samplesOf(1, 100)], 0.95, 5), 95);
  assert.equal(percentileOf([samplesOf(51, 100), samplesOf(1, 50)], 0.95, 5), 95);
  assert.equal(percentileOf([samplesOf(7, 7)], 0.95, 1), 7);
});

test('only the newest hundred count', () => {
  assert.equal(percentileOf([samplesOf(1, 1_000)], 0.95, 5), 995);
});

test('too few say nothing', () => {
  assert.equal(percentileOf([samplesOf(1, 4)], 0.95, 5), undefined);
  assert.equal(percentileOf([], 0.95, 0), undefined);
});
