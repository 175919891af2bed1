import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from '../telemetry/metrics.ts';
import { Cooldowns } from './cooldowns.ts';

const CASES: readonly (readonly [string, number | undefined, number])[] = [
  ['for as long as it asks for', 20_000, 20_000],
  ['for a minute at most', 1e12, 60_000],
  ['for a second if it names no time', undefined, 1_000],
];

for (const [what, retryAfterMs, restMs] of CASES) {
  test(`a provider at its limit rests ${what}`, () => {
    const cooldowns = new Cooldowns(new Metrics());
    cooldowns.start('acme', 'alder', retryAfterMs, 500);
    assert.equal(cooldowns.of('acme').get('alder')?.untilMs, 500 + restMs);
    assert.deepEqual([cooldowns.of('acme').size, cooldowns.of('umbra').size], [1, 0]);
  });
}

test('a running rest becomes longer, never shorter', () => {
  const cooldowns = new Cooldowns(new Metrics());
  cooldowns.start('acme', 'alder', 5_000, 0);
  cooldowns.start('acme', 'alder', 1_000, 1_000);
  assert.equal(cooldowns.of('acme').get('alder')?.untilMs, 5_000);
  cooldowns.start('acme', 'alder', 5_000, 1_000);
  assert.equal(cooldowns.of('acme').get('alder')?.untilMs, 6_000);
});
