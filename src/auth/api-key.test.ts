import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateApiKey, hashApiKey, prefixOf } from './api-key.ts';

test('a generated key has the documented form, and no two are the same', () => {
  const keys = Array.from({ length: 100 }, () => generateApiKey('live'));
  for (const key of keys) assert.match(key, /^blk_live_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}$/);
  assert.equal(new Set(keys.map(prefixOf)).size, keys.length);
  assert.match(generateApiKey('test'), /^blk_test_/);
});

const good = `blk_live_AbCd1234_${'x'.repeat(43)}`;
const malformed = [
  '',
  'blk_live_AbCd1234',
  good.slice(0, -1),
  `${good}x`,
  `${good}\n`,
  ` ${good}`,
  good.replace('live', 'prod'),
  good.replace('x', '-'),
  good.replace('x', '\u00e9'),
  good.replace('x', '\0'),
  "' OR 1=1 --",
];

test('only a whole key has a prefix', () => {
  assert.equal(prefixOf(good), 'blk_live_AbCd1234');
  for (const text of malformed) assert.equal(prefixOf(text), undefined, JSON.stringify(text));
});

test('a hash depends on the whole key and on the pepper', () => {
  const hashes = [hashApiKey(good, 'a'), hashApiKey(good, 'b'), hashApiKey(good.replace('x', 'y'), 'a')];
  assert.equal(new Set(hashes).size, 3);
  // RFC 4231, test case 2.
  assert.equal(
    hashApiKey('what do ya want for nothing?', 'Jefe'),
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  );
});
