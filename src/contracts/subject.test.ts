import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BeamlineError } from '../core/errors.ts';
import { execCall } from './assignment.ts';
import { addressIn, at, everyOf } from './contract.ts';
import { frames } from './frames.ts';
import { encodeToken } from './subject.ts';

const ILLEGAL: readonly (readonly [string, string])[] = [
  ['empty', ''],
  ['a space', 'a b'],
  ['a tab', 'a\tb'],
  ['carriage return and line feed', 'a\r\nPUB x 0'],
  ['NUL', 'a\0b'],
  ['a lone surrogate', 'a\ud800'],
  ['a letter outside ASCII', 'ä'],
  ['over-long', 'a'.repeat(129)],
];

for (const [what, id] of ILLEGAL) {
  test(`an id with ${what} never becomes a token`, () => {
    assert.throws(
      () => encodeToken(id),
      (error) => error instanceof BeamlineError && error.code === 'invalid_request',
    );
    assert.throws(() => at(execCall, { pool: id }), BeamlineError);
  });
}

const ENCODED: readonly (readonly [string, string])[] = [
  ['plain_ID-1', 'plain_ID-1'],
  ['a.b', 'a=2Eb'],
  ['*', '=2A'],
  ['>', '=3E'],
  ['a=b', 'a=3Db'],
  ['a/b:c', 'a=2Fb=3Ac'],
];

for (const [id, token] of ENCODED) test(`${id} is encoded as ${token}`, () => assert.equal(encodeToken(id), token));

test('two ids never share a token', () => {
  const tokens = new Set(['a.b', 'a=2Eb', 'a-b', 'a_b', 'A.b'].map(encodeToken));
  assert.equal(tokens.size, 5);
});

test('a subject is the template with its tokens, and a subscription has wildcards where nothing is given', () => {
  assert.equal(at(execCall, { pool: 'gpu.eu' }).subject, 'caf.exec.call.v2.gpu=2Eeu');
  assert.equal(everyOf(frames, { gateway_id: 'gw-1' }).subject, 'beamline.exec.v2.frames.gw-1.*');
});

test('a subject that came in a message must be one of the contract', () => {
  const own = at(frames, { gateway_id: 'gw-1', stream_id: 's.1' }).subject;
  assert.equal(addressIn(frames, own).subject, own);
  for (const foreign of [
    'beamline.exec.v2.frames.gw-1.*',
    'beamline.exec.v2.frames.gw-1.>',
    'beamline.exec.v2.frames.gw-1',
    'beamline.exec.v2.frames.gw-1.a.b',
    'beamline.exec.v2.frames..a',
    'beamline.usage.v1.metered',
    'beamline.exec.v2.frames.gw-1.a b',
    'beamline.exec.v2.frames.gw-1.a\r\n',
    '$JS.API.STREAM.DELETE.CAF_RESULT',
  ]) {
    assert.throws(() => addressIn(frames, foreign), BeamlineError, foreign);
  }
});
