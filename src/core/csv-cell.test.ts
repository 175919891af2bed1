import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csvCell } from './csv-cell.ts';

test('a cell of a CSV file is one cell, and no formula', () => {
  const cells = ['a"b,c\nd', '=1+1', '-5', '\tx', 'plain', null, -5, true].map(csvCell);
  assert.deepEqual(cells, ['"a""b,c\nd"', "'=1+1", "'-5", "'\tx", 'plain', '', '-5', 'true']);
});
