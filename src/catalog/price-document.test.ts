import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPriceBook } from './price-book.ts';
import { parsePriceDocument } from './price-document.ts';

const line = {
  provider: 'claude-eu',
  model: 'small-3',
  effective_from: '2026-11-01T00:00:00.000Z',
  input: 800_000,
  cached_input: 80_000,
  output: 4_000_000,
};
const document = { version: '2026-11-01', currency: 'USD', lines: [line] };

test('a document gives lines of its version, from their moment on', () => {
  const parsed = parsePriceDocument(document);
  assert.ok(parsed.kind === 'valid');
  const base = { provider: 'claude-eu', model: 'small-3', prices: { input: 1, output: 1 }, version: 'config-0' };
  const book = openPriceBook([base, ...parsed.document.lines]);
  const versionAt = (moment: string) => book.lineOf('claude-eu', 'small-3', Date.parse(moment))?.version;
  assert.deepEqual(['2026-10-31T23:59:59.999Z', '2026-11-01T00:00:00.000Z', '2027-01-01T00:00:00Z'].map(versionAt), [
    'config-0',
    '2026-11-01',
    '2026-11-01',
  ]);
});

test('a line of a block has no tokens', () => {
  const parsed = parsePriceDocument({
    version: 'v1',
    lines: [{ provider: 'worker', model: '-', effective_from: '2026-01-01T00:00:00Z', cpu_ms: 2 }],
  });
  assert.deepEqual(parsed.kind === 'valid' && parsed.document.lines[0]?.prices, { input: 0, output: 0, cpu_ms: 2 });
});

const FAULTS: readonly (readonly [what: string, document: unknown, path: string])[] = [
  ['no object', [], ''],
  ['an unknown member', { ...document, note: 1 }, '/note'],
  ['no version', { lines: [] }, '/version'],
  ['the name of a configuration as its version', { ...document, version: 'config-1' }, '/version'],
  ['another currency', { ...document, currency: 'EUR' }, '/currency'],
  ['no lines', { version: 'v1' }, '/lines'],
  ['a line that is a text', { ...document, lines: ['x'] }, '/lines/0'],
  ['a misspelt price', { ...document, lines: [{ ...line, ouput: 1 }] }, '/lines/0/ouput'],
  ['a price that is no integer', { ...document, lines: [{ ...line, input: 0.5 }] }, '/lines/0/input'],
  ['a negative price', { ...document, lines: [{ ...line, output: -1 }] }, '/lines/0/output'],
  ['a price in words', { ...document, lines: [{ ...line, request: '7' }] }, '/lines/0/request'],
  [
    'a local time',
    { ...document, lines: [{ ...line, effective_from: '2026-11-01T00:00:00+01:00' }] },
    '/lines/0/effective_from',
  ],
  [
    'a day that is none',
    { ...document, lines: [{ ...line, effective_from: '2026-13-01T00:00:00Z' }] },
    '/lines/0/effective_from',
  ],
  ['a line twice', { ...document, lines: [line, { ...line, input: 1 }] }, '/lines/1'],
  [
    'a line without a price',
    { ...document, lines: [{ provider: 'a', model: 'b', effective_from: line.effective_from }] },
    '/lines/0',
  ],
];

for (const [what, wrong, path] of FAULTS) {
  test(`a price document with ${what} is refused with the place`, () => {
    const parsed = parsePriceDocument(wrong);
    assert.deepEqual(parsed.kind === 'invalid' && parsed.issues.map((issue) => issue.path), [path]);
  });
}
