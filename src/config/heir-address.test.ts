import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heirAddress } from './heir-address.ts';
import { policySourceOf } from './policy-source.ts';
import { readConfig } from './read.ts';

const prefixed = (settings: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [`heir_policy_store_${name}`, value]));

const addressOf = (settings: Readonly<Record<string, unknown>>): string =>
  heirAddress(readConfig({ env: {}, flags: prefixed(settings) }).config);

test('the store is at an address, else at a host and port: plain http stays on this machine', () => {
  const cases = [
    [{}, 'http://localhost:8080'],
    [{ host: '127.0.0.2', port: 1 }, 'http://127.0.0.2:1'],
    [{ host: '::1' }, 'http://[::1]:8080'],
    [{ host: 'policies.example' }, 'https://policies.example:8080'],
    [{ host: 'localhost', ca: 'file:/ca.pem' }, 'https://localhost:8080'],
    [{ url: 'https://policies.example/heir/', host: 'elsewhere' }, 'https://policies.example/heir'],
    [{ url: 'http://[::1]:9' }, 'http://[::1]:9'],
  ] as const;
  for (const [settings, address] of cases) assert.equal(addressOf(settings), address);
});

test('an address that would carry policies in the clear, and half a certificate, are refused', () => {
  const cases = [
    [{ url: 'http://policies.example' }, 'heir_policy_store_url must be https, except for a loopback address'],
    [{ url: 'http://127.0.0.1.example' }, 'heir_policy_store_url must be https, except for a loopback address'],
    [{ url: 'http://localhost:99999' }, 'heir_policy_store_url is not an address'],
    [{ host: 'a:b:c' }, 'heir_policy_store_host is not an address'],
    [
      { url: 'http://localhost', ca: 'file:/ca.pem' },
      'heir_policy_store_url must be https where there are certificates',
    ],
    [{ cert: 'file:/c.pem' }, 'heir_policy_store_key is required: a client certificate and its key come together'],
    [{ key: 'env:KEY' }, 'heir_policy_store_cert is required: a client certificate and its key come together'],
  ] as const;
  assert.throws(() => readConfig({ env: {}, flags: { 'policy.source': 'kv', heir_policy_store_enabled: true } }), {
    message: 'command line policy.source must be heir, or heir_policy_store_enabled false',
  });
  for (const [settings, fault] of cases) {
    assert.throws(() => addressOf(settings), { message: new RegExp(`(^| )${fault.replaceAll('.', '\\.')}$`) });
  }
});

test('the settings are read from the environment under their flat names', () => {
  const { config } = readConfig({
    env: { BEAMLINE_HEIR_POLICY_STORE_ENABLED: 'true', BEAMLINE_HEIR_POLICY_STORE_POLL: '500' },
  });
  assert.deepEqual([policySourceOf(config), config.heir_policy_store_poll], ['heir', 500]);
  assert.throws(() => readConfig({ env: { BEAMLINE_HEIR_POLICY_STORE_ENABLED: 'yes' } }), {
    message: 'BEAMLINE_HEIR_POLICY_STORE_ENABLED heir_policy_store_enabled must be true or false',
  });
});
