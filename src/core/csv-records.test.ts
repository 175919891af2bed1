import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csvRecords } from './csv-records.ts';
import { numberedLines } from './numbered-lines.ts';

const read = (text: string | Buffer, pieceBytes = 3, bytesMax = 64) => {
  const bytes = Buffer.from(text);
  const pieces = Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, n) =>
    bytes.subarray(n * pieceBytes, (n + 1) * pieceBytes),
  );
  return [...csvRecords(numberedLines(pieces, bytesMax), bytesMax)].map(({ line, cells }) => [line, cells]);
};

const TWO = [
  [1, 'a', 'b'],
  [2, 'c', 'd'],
];
const GOOD: readonly (readonly [what: string, text: string, records: readonly (readonly unknown[])[]])[] = [
  ['plain cells', 'a,b\nc,d\n', TWO],
  ['no newline at the end', 'a,b\nc,d', TWO],
  ['carriage returns', 'a,b\r\nc,"d"\r\n', TWO],
  [
    'empty cells',
    ',\n"",\n',
    [
      [1, '', ''],
      [2, '', ''],
    ],
  ],
  [
    'quotes, commas and newlines within quotes',
    '"a ""b""","c,d"\n"e\r\n\nf",g\nh,i',
    [
      [1, 'a "b"', 'c,d'],
      [2, 'e\r\n\nf', 'g'],
      [5, 'h', 'i'],
    ],
  ],
  ['empty lines, which are nothing', '\n\na,b\n\r\n', [[3, 'a', 'b']]],
  ['a byte order mark, which is nothing', '\uFEFFé,b', [[1, 'é', 'b']]],
  [
    'a byte order mark later, which is a character',
    'a\n\uFEFFb',
    [
      [1, 'a'],
      [2, '\uFEFFb'],
    ],
  ],
  ['nothing', '', []],
];

for (const [what, text, records] of GOOD) {
  test(`CSV is read with ${what}`, () => {
    const expected = records.map(([line, ...cells]) => [line, cells]);
    for (const pieceBytes of [1, 3, 1_000]) assert.deepEqual(read(text, pieceBytes), expected);
  });
}

const BAD: readonly (readonly [what: string, text: string | Buffer, reason: string, line: number])[] = [
  ['a quote within a plain cell', 'a\nb"c"\n', 'csv_invalid', 2],
  ['text after a quote', 'a\n"b"c\n', 'csv_invalid', 2],
  ['a space before a quote', 'a, "b"\n', 'csv_invalid', 1],
  ['a carriage return within a plain cell', 'a\rb\n', 'csv_invalid', 1],
  ['a quote that is never closed', 'a\n"b\nc\n', 'csv_invalid', 2],
  ['a record without an end', `a\n"${'b\n'.repeat(40)}`, 'line_too_long', 2],
  ['a line without an end', `a\n${'b'.repeat(65)}`, 'line_too_long', 2],
  ['a line that is too long', `a\n${'b'.repeat(65)}\nc\n`, 'line_too_long', 2],
  ['what is no UTF-8', Buffer.from([0x61, 0x0a, 0xc3, 0x0a]), 'not_utf8', 2],
];

for (const [what, text, reason, line] of BAD) {
  test(`CSV with ${what} is refused, with the line`, () => {
    for (const pieceBytes of [1, 3, 1_000]) {
      assert.throws(() => read(text, pieceBytes), { code: 'validation_failed', details: { reason, line } });
    }
  });
}
