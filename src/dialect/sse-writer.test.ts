import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOneLine, sseData } from './sse-writer.ts';

test('an event is one data line and a blank line', () => {
  assert.equal(sseData('{"a":1}'), 'data: {"a":1}\n\n');
});

for (const [payload, expected] of [
  ['{"a":"\\n"}', true],
  ['{"a":\n1}', false],
  ['{"a":\r1}', false],
] as const) {
  test(`a payload ${expected ? 'is' : 'is not'} one line: ${JSON.stringify(payload)}`, () => {
    assert.equal(isOneLine(payload), expected);
  });
}
