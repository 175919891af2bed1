import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeConfig } from './describe.ts';
import { readConfig } from './read.ts';

const sampleOf = (text: string): unknown =>
  readConfig({ env: { BEAMLINE_DECISIONS_SAMPLE: text } }).config.decisions.sample;

test('every decision is recorded unless a share is given', () => {
  assert.equal(readConfig({ env: {} }).config.decisions.sample, 1);
  assert.deepEqual(['0', '1', '0.25', '1.0'].map(sampleOf), [0, 1, 0.25, 1]);
});

for (const text of ['1.01', '-0.1', '25%', '.5', 'all']) {
  test(`${text} is no share`, () => {
    assert.throws(() => sampleOf(text), /decisions\.sample must be a number from 0 to 1/);
  });
}

test('the reference tells the range', () => {
  const sample = describeConfig().find(({ path }) => path === 'decisions.sample');
  assert.deepEqual([sample?.type, sample?.default], ['number from 0 to 1', '1']);
});
