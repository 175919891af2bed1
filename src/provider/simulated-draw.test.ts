import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawnProfile } from './simulated-draw.ts';
import { parseScript, type SimulatedProfile } from './simulated-script.ts';

const profileOf = (profile: unknown): SimulatedProfile => parseScript({ m: profile })['m'] ?? {};
const times = (first_chunk_ms: unknown): number[] => {
  const profile = profileOf({ first_chunk_ms });
  return Array.from({ length: 1_000 }, (_, nth) => drawnProfile(profile, `1/${nth}`, '').first_chunk_ms ?? -1);
};

test('numbers stay what they are, and so does what is fixed', () => {
  const profile = profileOf({ first_chunk_ms: 5, tokens_per_s: 7, output_tokens: 9 });
  assert.equal(drawnProfile(profile, 'a', 'b'), profile);
  assert.deepEqual(new Set(times({ dist: 'fixed', value: 40 })), new Set([40]));
});

test('what is uniform lies between its ends and reaches for both', () => {
  const drawn = times({ dist: 'uniform', min: 100, max: 200 });
  assert.ok(Math.min(...drawn) >= 100 && Math.min(...drawn) < 110);
  assert.ok(Math.max(...drawn) <= 200 && Math.max(...drawn) > 190);
});

test('what is lognormal has its median, a long tail and an end', () => {
  const drawn = times({ dist: 'lognormal', median: 100, sigma: 1, max: 900 }).toSorted((a, b) => a - b);
  const median = drawn[500] ?? 0;
  assert.ok(median > 80 && median < 120, String(median));
  assert.equal(drawn.at(-1), 900);
  assert.ok((drawn[950] ?? 0) > 350);
});

test('the same seed draws the same; times belong to the request, the length to what is said', () => {
  const dist = { dist: 'uniform', min: 1, max: 1_000_000 };
  const profile = profileOf({ first_chunk_ms: { ...dist, max: 3_000_000 }, tokens_per_s: dist, output_tokens: dist });
  const first = drawnProfile(profile, '1/1', 'hello');
  assert.deepEqual(drawnProfile(profile, '1/1', 'hello'), first);
  const second = drawnProfile(profile, '1/2', 'hello');
  assert.equal(second.output_tokens, first.output_tokens);
  assert.notEqual(second.first_chunk_ms, first.first_chunk_ms);
  assert.notEqual(second.tokens_per_s, first.tokens_per_s);
  assert.notEqual(drawnProfile(profile, '1/1', 'bye').output_tokens, first.output_tokens);
});
