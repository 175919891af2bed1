import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { hashApiKey } from '../auth/api-key.ts';
import { readConfig } from '../config/read.ts';

const MAIN = new URL('../main.ts', import.meta.url).pathname;
const PEPPER = 'pepper-'.repeat(6);

function beamline(args: readonly string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { env, encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('--version prints the version alone', () => {
  const { status, stdout } = beamline(['--version']);
  assert.equal(status, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

test('--help lists the commands, without colours in a pipe', () => {
  const { status, stdout } = beamline(['--help']);
  assert.equal(status, 0);
  assert.match(stdout, /^ +key +API keys *$/m);
  assert.ok(!stdout.includes('\u001B'));
});

const wrong: readonly (readonly [what: string, args: readonly string[], told: RegExp])[] = [
  ['no command', [], /COMMANDS/],
  ['a group without its command', ['key'], /create/],
  ['an unknown command', ['frobnicate'], /unknown command "frobnicate"/],
  ['a name that every object has', ['constructor'], /unknown command "constructor"/],
  ['an unknown option', ['key', 'create', '--tenant', 'a', '--role', 'admin', '--colour'], /unknown option --colour/],
  ['a required option missing', ['key', 'create', '--tenant', 'a'], /--role/],
  ['a value that is not among the choices', ['key', 'create', '--tenant', 'a', '--role', 'root'], /viewer, operator/],
  ['an option without its value', ['key', 'create', '--tenant'], /--tenant needs a value/],
  ['a word too many', ['key', 'create', 'now', '--tenant', 'a'], /unexpected "now"/],
  ['a tenant that is no id', ['key', 'create', '--tenant', 'a b', '--role', 'admin'], /not a tenant id/],
];

for (const [what, args, told] of wrong) {
  test(`${what} is wrong usage: exit 64, told on stderr only`, () => {
    const { status, stdout, stderr } = beamline(args);
    assert.equal(status, 64);
    assert.equal(stdout, '');
    assert.match(stderr, told);
  });
}

test('a missing pepper is invalid configuration: exit 78', () => {
  const { status, stdout, stderr } = beamline(['key', 'create', '--tenant', 'a', '--role', 'admin']);
  assert.deepEqual([status, stdout], [78, '']);
  assert.match(stderr, /env:BEAMLINE_PEPPER must hold a pepper/);
});

test('key create prints a key once and a record that the configuration accepts', () => {
  const args = ['key', 'create', '--tenant', 'a,b', '--role', 'service', '--name', 'it\'s "CI"'];
  const { status, stdout } = beamline(args, { BEAMLINE_PEPPER: PEPPER });
  assert.equal(status, 0);
  const [key = ''] = stdout.split('\n');
  assert.equal(stdout.split(key).length, 2);
  const fields = stdout.matchAll(/^ {2}(?:- | {2})(\w+): (.+)$/gm);
  const record = Object.fromEntries(
    Array.from(fields, ([, name, value]) => [name, JSON.parse(value ?? '') as unknown]),
  );
  const { config } = readConfig({
    env: {},
    flags: { 'gateway.auth.keys': [record], 'gateway.auth.pepper.current': 'env:BEAMLINE_PEPPER' },
  });
  const [stored] = config.gateway.auth.keys;
  assert.equal(stored?.hash, hashApiKey(key, PEPPER));
  assert.deepEqual([stored?.tenants, stored?.role, stored?.name], [['a', 'b'], 'service', 'it\'s "CI"']);
});
