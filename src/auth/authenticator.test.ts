import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { generateApiKey, hashApiKey, prefixOf } from './api-key.ts';
import { type KeyRecord, openAuthenticator } from './authenticator.ts';

const PEPPER = 'a pepper';
const key = generateApiKey('live');
const other = generateApiKey('live');

const recordOf = (credential: string, more: Partial<KeyRecord> = {}): KeyRecord => ({
  id: 'key_1',
  name: 'first',
  prefix: prefixOf(credential) ?? '',
  hash: hashApiKey(credential, PEPPER),
  tenants: ['acme'],
  role: 'service',
  ...more,
});

function opened(more: Partial<KeyRecord> = {}, pepper: () => string | undefined = () => PEPPER) {
  const clock = new ManualClock(Date.parse('2026-01-01T00:00:00Z'));
  return { clock, authenticator: openAuthenticator({ keys: [recordOf(key, more)], pepper, clock }) };
}

type Header = string | undefined;
type Carried = readonly [authorization?: Header, xApiKey?: Header, apiKey?: Header];

const accepted: readonly (readonly [what: string, carried: Carried])[] = [
  ['authorization', [`Bearer ${key}`]],
  ['authorization in another case and with spaces', [`bEARER   ${key} `]],
  ['x-api-key', [undefined, key]],
  ['api-key', [undefined, undefined, key]],
  ['all three headers with one value', [`Bearer ${key}`, key, key]],
];

for (const [what, [authorization, xApiKey, apiKey]] of accepted) {
  test(`a key in ${what} gives its principal`, () => {
    const { authenticator } = opened({ models: ['m'] });
    for (const _ of ['verified', 'remembered']) {
      const principal = authenticator.authenticate(authorization, xApiKey, apiKey);
      assert.equal(principal.keyId, 'key_1');
      assert.deepEqual(principal.tenants, ['acme']);
      assert.deepEqual([principal.models, principal.policies], [new Set(['m']), undefined]);
    }
  });
}

const refused: readonly (readonly [what: string, carried: Carried, message: RegExp])[] = [
  ['no credential', [], /no API key/],
  ['an unknown key', [`Bearer ${other}`], /not valid/],
  ['a right prefix with a wrong secret', [`Bearer ${key.slice(0, 18)}${other.slice(18)}`], /not valid/],
  ['a shortened key', [`Bearer ${key.slice(0, -1)}`], /not valid/],
  ['a key with a control character', [undefined, `${key}\n`], /not valid/],
  ['another scheme', [`Basic ${key}`], /must be Bearer/],
  ['a scheme alone', ['Bearer'], /must be Bearer/],
  ['an empty bearer', ['Bearer '], /not valid/],
  ['two headers that differ', [`Bearer ${key}`, other], /different keys/],
  ['a third header that differs', [undefined, key, other], /different keys/],
  ['a web token', [`Bearer ${'a'.repeat(9)}.b.c`], /not served yet/],
  ['a megabyte', [undefined, 'x'.repeat(1_000_000)], /not valid/],
  ['what injects', [undefined, "' OR 1=1 --"], /not valid/],
];

for (const [what, [authorization, xApiKey, apiKey], message] of refused) {
  test(`${what} is unauthorized, and the answer repeats no credential`, () => {
    const { authenticator } = opened();
    assert.throws(
      () => authenticator.authenticate(authorization, xApiKey, apiKey),
      (error) => {
        assert.ok(error instanceof BeamlineError);
        assert.equal(error.code, 'unauthorized');
        assert.match(error.message, message);
        assert.ok(!error.message.includes('blk_'));
        return true;
      },
    );
  });
}

test('a key is refused from the moment it expires, also when it was verified before', () => {
  const { authenticator, clock } = opened({ expires_at: '2026-01-01T00:00:01Z' });
  clock.advance(999);
  assert.equal(authenticator.authenticate(undefined, key, undefined).keyId, 'key_1');
  clock.advance(1);
  assert.throws(() => authenticator.authenticate(undefined, key, undefined), { code: 'unauthorized' });
});

test('a key is refused from the moment of its revocation, also when it was verified before', () => {
  const { authenticator, clock } = opened({ expires_at: '2027-01-01T00:00:00Z', revoked_at: '2026-01-01T00:00:01Z' });
  assert.equal(authenticator.authenticate(undefined, key, undefined).keyId, 'key_1');
  clock.advance(1_000);
  assert.throws(() => authenticator.authenticate(undefined, key, undefined), { code: 'unauthorized' });
});

test('while the pepper is rotated, keys of both are good; when the old one is gone, those of the new one are', () => {
  let previous: string | undefined = PEPPER;
  const keys = [recordOf(key), { ...recordOf(other), id: 'key_2', hash: hashApiKey(other, 'the next') }];
  const clock = new ManualClock(0);
  const options = { keys, pepper: () => 'the next', previousPepper: () => previous, clock };
  const authenticator = openAuthenticator(options);
  const authenticate = (xApiKey: string) => authenticator.authenticate(undefined, xApiKey, undefined);
  for (const _ of ['verified', 'remembered']) {
    assert.equal(authenticate(key).keyId, 'key_1');
    assert.equal(authenticate(other).keyId, 'key_2');
  }
  previous = undefined;
  assert.throws(() => authenticate(key), { code: 'unauthorized' });
  assert.equal(authenticate(other).keyId, 'key_2');
});

test('a changed pepper forgets what was verified with the old one', () => {
  let pepper: string | undefined = PEPPER;
  const { authenticator } = opened({}, () => pepper);
  authenticator.authenticate(undefined, key, undefined);
  pepper = 'another';
  assert.throws(() => authenticator.authenticate(undefined, key, undefined), { code: 'unauthorized' });
  pepper = undefined;
  assert.throws(() => authenticator.authenticate(undefined, key, undefined), { code: 'unavailable' });
  pepper = PEPPER;
  assert.equal(authenticator.authenticate(undefined, key, undefined).keyId, 'key_1');
});
