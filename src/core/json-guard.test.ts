import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isShallow, nestsAtMost, parseGuarded } from './json-guard.ts';

const LIMITS = { depthMax: 64, valuesMax: 1_000 };
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

const REFUSED: readonly (readonly [string, Buffer | string, string])[] = [
  ['an open object', '{"a":1', 'syntax'],
  ['an open string', '{"a', 'syntax'],
  ['an empty text', '', 'syntax'],
  ['two values', '{} {}', 'syntax'],
  ['invalid UTF-8', Buffer.from([0x22, 0xc3, 0x28, 0x22]), 'invalid_utf8'],
  ['a byte order mark', '\ufeff{}', 'byte_order_mark'],
  ['65 levels', nested(65), 'depth'],
  ['a million levels', nested(1_000_000), 'depth'],
  ['too many values', `[${'1,'.repeat(1_001)}1]`, 'too_many_values'],
  ['a key twice', '{"a":1,"a":2}', 'duplicate_key'],
  ['a key twice, once escaped', '{"a":1,"\\u0061":2}', 'duplicate_key'],
  ['a key twice, deep', '{"x":[{"b":{},"b":{}}]}', 'duplicate_key'],
  ['__proto__', '{"__proto__":{"a":1}}', 'forbidden_key'],
  ['__proto__, escaped', '{"__pr\\u006fto__":1}', 'forbidden_key'],
  ['constructor with prototype', '{"constructor":{"prototype":{}}}', 'forbidden_key'],
  ['a lone surrogate', '{"a":"\\ud800"}', 'lone_surrogate'],
  ['a lone surrogate in a key', '{"\\udc00":1}', 'lone_surrogate'],
  ['a number without end', '{"a":1e999}', 'non_finite_number'],
  ['an integer above 2^53', '{"a":"9007199254740993","b":9007199254740993}', 'inexact_number'],
  ['an integer that would be written with other digits', '[1152921504606846976]', 'inexact_number'],
  ['an integer below -2^53', '[-9007199254740993]', 'inexact_number'],
  ['an integer of thirty digits', '[123456789012345678901234567890]', 'inexact_number'],
  ['a number that becomes nothing', '{"a":1e-400}', 'inexact_number'],
  ['a number that becomes nothing, in capitals', '[0.1E-400]', 'inexact_number'],
];

for (const [what, text, fault] of REFUSED) {
  test(`${what} is refused as ${fault}`, () => {
    const parsed = parseGuarded(Buffer.from(text), LIMITS);
    assert.deepEqual(parsed, { ok: false, fault });
  });
}

const ACCEPTED = [
  nested(64),
  '{"a":"x\\"}{][,:","b":"\\\\"}',
  '{"constructor":"plain"}',
  '{"a":"\\ud83d\\ude00"}',
  '"text: with, [every] {sign}"',
  '{"a":{"b":1},"b":{"a":1}}',
  '[9007199254740991,-9007199254740991]',
  '{"maximum":1.7976931348623157e308,"minimum":5e-324,"of":1e20,"text":"\\"123456789012345678901234567890"}',
  '[0.12345678901234567890123,0e-400,0.0E-5,-0.0,1e-5]',
];

for (const text of ACCEPTED) {
  test(`${text.slice(0, 40)} is accepted`, () => {
    assert.deepEqual(parseGuarded(Buffer.from(text), LIMITS), { ok: true, value: JSON.parse(text) });
  });
}

test('whatever JSON.stringify writes is accepted and equal', () => {
  const json = fc.json({ maxDepth: 6, noUnicodeString: false });
  fc.assert(
    fc.property(json, (text) => {
      fc.pre(!text.includes('__proto__'));
      const parsed = parseGuarded(Buffer.from(text), { depthMax: 64, valuesMax: 100_000 });
      assert.deepEqual(parsed, { ok: true, value: JSON.parse(text) });
    }),
  );
});

test('no bytes make it throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      parseGuarded(Buffer.from(bytes), LIMITS);
    }),
  );
});

test('isShallow tells the depth and nothing else', () => {
  assert.equal(isShallow(nested(3), 3), true);
  assert.equal(isShallow(nested(4), 3), false);
  assert.equal(isShallow('{"a":"[[[["}', 1), true);
});

test('nestsAtMost tells of a value what isShallow tells of its text, and of one that has none as well', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), fc.nat(6), (value, depth) => {
      assert.equal(nestsAtMost(value, depth), isShallow(JSON.stringify(value), depth));
    }),
  );
  let deep: unknown = 1;
  for (let level = 0; level < 100_000; level++) deep = [deep];
  assert.equal(nestsAtMost(deep, 64), false);
});
