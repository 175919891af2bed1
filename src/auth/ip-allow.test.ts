import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openIpAllow } from './ip-allow.ts';

const allows = openIpAllow(['10.1.0.0/16', '192.0.2.7', '2001:db8::/32']);

for (const [address, isAllowed] of [
  ['10.1.2.3', true],
  ['10.2.0.1', false],
  ['192.0.2.7', true],
  ['192.0.2.8', false],
  ['::ffff:10.1.2.3', true],
  ['::ffff:10.2.0.1', false],
  ['2001:db8::1', true],
  ['2001:db9::1', false],
  ['', false],
] as const) {
  test(`${address} is ${isAllowed ? '' : 'not '}allowed`, () => assert.equal(allows(address), isAllowed));
}
