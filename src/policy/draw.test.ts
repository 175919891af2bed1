import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hash, unit } from '../core/hash.ts';
import { draw } from './draw.ts';

const VECTORS = [
  ['', 2_872_998_923, '0.668922'],
  ['a', 444_641_715, '0.103526'],
  ['kestrel:rq-50b7:1|select', 53_584_152, '0.012476'],
  ['exp|prompt-7|kestrel|s-9', 3_428_650_339, '0.798295'],
] as const;

for (const [text, integer, fraction] of VECTORS) {
  test(`the text '${text}' draws ${fraction}`, () => {
    assert.deepEqual([hash(text), unit(text).toFixed(6)], [integer, fraction]);
  });
}

/** The same function, said over the bytes of an encoder. */
function hashOfBytes(text: string): number {
  let state = 0x81_1c_9d_c5;
  for (const byte of new TextEncoder().encode(text)) state = Math.imul(state ^ byte, 0x01_00_01_93);
  state = Math.imul(state ^ (state >>> 16), 0x85_eb_ca_6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2_b2_ae_35);
  return (state ^ (state >>> 16)) >>> 0;
}

test('every text is hashed over the bytes of its UTF-8 form, lone surrogates included', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => hash(text) === hashOfBytes(text)));
  for (const text of ['é', 'ठ', '🦅', '\ud800', 'a\udc00b', '\ud800\ud800'])
    assert.equal(hash(text), hashOfBytes(text));
});

test('a labelled draw is the draw of its text', () => {
  assert.equal(draw('kestrel:rq-50b7', 12, 'backoff'), unit('kestrel:rq-50b7:12|backoff'));
});
