import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { readConfig } from '../config/read.ts';
import { systemClock } from '../core/clock.ts';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { markOf, marked, writeOf } from '../router/policy-fixture.ts';
import { openPolicies, tenantsOf } from './policies.ts';

const SETTINGS = {
  'providers.list': [{ id: 'alder', type: 'sim' }],
  'gateway.tenants': [{ id: 'acme' }],
};

/** The policies of one process, as `up` and the roles open them; `run` restarts it. */
async function run(
  policy: Readonly<Record<string, string>>,
  work: (opened: Awaited<ReturnType<typeof openPolicies>>) => void | Promise<void>,
): Promise<void> {
  const flags = Object.fromEntries(Object.entries(policy).map(([key, value]) => [`policy.${key}`, value]));
  const { config } = readConfig({ env: {}, flags: { ...SETTINGS, ...flags } });
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  using timers = new Timers(systemClock);
  await using bus = openMemoryBus({ timers, telemetry });
  const of = { tenants: tenantsOf(config), dataDir: config.policy.data_dir };
  await using opened = await openPolicies({ config, timers, telemetry }, bus, of);
  await work(opened);
}

function openFolders() {
  const root = mkdtempSync(join(tmpdir(), 'beamline-policies-'));
  const dir = join(root, 'policies');
  mkdirSync(join(dir, 'acme'), { recursive: true });
  writeFileSync(join(dir, 'acme', 'test.json'), JSON.stringify(marked('one')));
  return { dir, data_dir: join(root, 'data'), [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }) };
}

const refusedAs =
  (code: ErrorCode, text: RegExp) =>
  (fault: unknown): boolean =>
    fault instanceof BeamlineError && fault.code === code && text.test(fault.message);

test('without a folder there are the built-in policies, and nowhere to write', () =>
  run({}, async ({ replica, store }) => {
    assert.deepEqual([markOf(replica, 'default'), markOf(replica, 'direct')], ['built-in', 'built-in']);
    await assert.rejects(store.put(writeOf('test'), marked('x')), refusedAs('not_implemented', /policy\.dir/));
  }));

test('a process that starts without its folder has what the snapshot knows, and says that it is stale', async () => {
  using folders = openFolders();
  const { dir, data_dir } = folders;
  await run({ dir, data_dir }, async ({ replica, store }) => {
    assert.equal(markOf(replica, 'test'), 'one');
    await store.put(writeOf('gone'), marked('two'));
    await store.delete(writeOf('gone'));
  });
  renameSync(dir, `${dir}-away`);
  await run({ dir, data_dir }, async ({ replica, store }) => {
    assert.deepEqual([markOf(replica, 'test'), markOf(replica, 'gone')], ['one', 'policy_not_found']);
    assert.equal(replica.isStale(systemClock.nowMs()), true);
    await assert.rejects(store.put(writeOf('test'), marked('x')), refusedAs('unavailable', /folder/));
  });
  renameSync(`${dir}-away`, dir);
  await run({ dir, data_dir }, ({ replica }) => assert.equal(replica.isStale(systemClock.nowMs()), false));
});

test('without folder and snapshot, or with a damaged snapshot, the start is refused', async () => {
  using folders = openFolders();
  const { dir, data_dir } = folders;
  const start = () => run({ dir, data_dir }, () => undefined);
  await start();
  renameSync(dir, `${dir}-away`);
  const snapshot = join(data_dir, 'policies.snapshot.json');
  const whole = readFileSync(snapshot, 'utf8');
  writeFileSync(snapshot, whole.replace('one', 'two'));
  await assert.rejects(start, refusedAs('validation_failed', /policy\.dir .*policies cannot be read/));
  rmSync(snapshot);
  await assert.rejects(start, refusedAs('validation_failed', /policy\.dir .*policies cannot be read/));
  writeFileSync(snapshot, whole);
  await start();
});

test('policies in a bucket are written and read through the same store', () =>
  run({ source: 'kv' }, async ({ replica, store }) => {
    assert.equal(markOf(replica, 'default'), 'built-in');
    const { record } = await store.put(writeOf('default', 0), marked('mine'));
    assert.equal(record.revision, 1);
    assert.deepEqual((await store.history('acme', 'default')).length, 1);
  }));

test('a folder that the source would not read is a fault of the settings', () => {
  const read = () => readConfig({ env: {}, flags: { 'policy.source': 'kv', 'policy.dir': 'policies' } });
  assert.throws(read, refusedAs('validation_failed', /policy\.dir has a meaning with policy\.source files only/));
});
