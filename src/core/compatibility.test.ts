import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCompatible } from './compatibility.ts';

const ROWS: readonly (readonly [own: string, other: string, fits: boolean])[] = [
  ['1.2.0', '1.2.9', true],
  ['1.2.0', '1.3.0', true],
  ['1.2.0', '1.1.7', true],
  ['1.2.0', '1.4.0', false],
  ['1.2.0', '1.0.9', false],
  ['1.9.0', '2.0.0', false],
  ['0.1.0', '0.2.0-rc1', true],
  ['1.2.0', 'unknown', false],
  ['dev', 'dev', true],
];

for (const [own, other, fits] of ROWS) {
  test(`${own} ${fits ? 'fits' : 'does not fit'} ${other}, in both directions`, () => {
    assert.deepEqual([isCompatible(own, other), isCompatible(other, own)], [fits, fits]);
  });
}
