import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUnknown, type Level, nextLevel, NORMAL } from './sampled-level.ts';

/** The level after each sample; `-` for one that did not come, `?` where nothing is known. */
function levels(samples: string): string {
  let state = NORMAL;
  let told = '';
  for (const sample of samples) {
    state = nextLevel(state, sample === '-' ? undefined : (Number(sample) as Level));
    told += isUnknown(state) ? '?' : state.level;
  }
  return told;
}

const RUNS: readonly (readonly [what: string, samples: string, told: string])[] = [
  ['a level is entered after two samples', '022', '002'],
  ['one sample alone says nothing', '0202020', '0000000'],
  ['of two samples the lower one is entered', '0122', '0012'],
  ['a level is left after three samples', '22000', '02220'],
  ['one bad sample starts the count of the calm ones anew', '2200200' + '0', '02222220'],
  ['a level is left for the worst of the three', '22010', '02221'],
  ['what does not come changes nothing at first', '22----', '022222'],
  ['after five that did not come nothing is known', '22-----', '022222?'],
  ['from there a level takes two samples again', '22-----22', '022222?02'],
  ['a gateway that hears nobody is not held up', '------', '0000??'],
];
for (const [what, samples, told] of RUNS) test(what, () => assert.equal(levels(samples), told));
