// Policies that are read from their source are held against the extensions that are registered, whenever these change.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../test/until.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { readConfig } from '../config/read.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { readExtension } from '../router/extension-document.ts';
import { openPolicyKv } from '../router/policy-kv.ts';
import { markOf, writeOf } from '../router/policy-fixture.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { openPolicies } from './policies.ts';

const SCHEMA = { properties: { level: { type: 'integer', maximum: 3 } }, required: ['level'] };

/** With a validator of the level; the model says which one it is. */
const guarded = (model: string, level: unknown): object => ({
  version: '2.0',
  providers: [{ name: 'alder', weight: 1, model }],
  validators: [{ id: 'guard', config: { level } }],
});

async function open(source: 'files' | 'kv') {
  const opened = new AsyncDisposableStack();
  const dir = mkdtempSync(join(tmpdir(), 'beamline-guarded-'));
  opened.defer(() => rmSync(dir, { recursive: true, force: true }));
  mkdirSync(join(dir, 'acme'));
  const flags = { 'policy.source': source, ...(source === 'files' && { 'policy.dir': dir }) };
  const { config } = readConfig({ env: {}, flags });
  const lines: string[] = [];
  const metrics = new Metrics();
  const telemetry = { log: openLog('info', { write: (line) => void lines.push(line) }), metrics };
  const timers = opened.use(new Timers(systemClock));
  const bus = opened.use(openMemoryBus({ timers, telemetry }));
  const bucket = source === 'kv' ? opened.use(await openPolicyKv({ bus, timers, telemetry })) : undefined;
  const start = async () =>
    opened.use(await openPolicies({ config, timers, telemetry }, bus, { tenants: ['acme'], dataDir: undefined }));
  const { replica, registry } = await start();
  /** As somebody who does not ask the administration. */
  const write = async (document: object): Promise<void> => {
    writeFileSync(join(dir, 'acme', 'test.json'), JSON.stringify(document));
    await bucket?.put(writeOf('test'), document);
  };
  const register = async (more: object): Promise<void> => {
    const document = readExtension('guard', { type: 'validator', ...more });
    await registry.put({ document, expectedRevision: undefined, by: 'x' });
  };
  const forget = (): Promise<void> => registry.remove('guard', undefined);
  const told = (event: string): readonly string[] => lines.filter((line) => line.includes(`"${event}"`));
  /** Another process beside the first one. */
  const restart = async () => ({ replica: (await start()).replica, told });
  return { replica, write, register, forget, told, restart, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

for (const source of ['files', 'kv'] as const) {
  test(`${source}: a document that its registered extension refuses does not replace a good one, and is taken when it fits`, async () => {
    await using policies = await open(source);
    const { replica, write, register, told } = policies;
    await write(guarded('one', 9));
    await until('the first', () => markOf(replica, 'test') === 'one');
    assert.deepEqual(told('policy_refused'), []);

    await register({ config_schema: { properties: { level: { maximum: 9 } } } });
    await write(guarded('two', 10));
    await until('the refusal', () => told('policy_refused').length > 0);
    assert.match(told('policy_refused')[0] ?? '', /\/validators\/0\/config\/level invalid_config /);
    assert.deepEqual([markOf(replica, 'test'), replica.faulty], ['one', 1]);

    await register({ config_schema: { properties: { level: { maximum: 10 } } } });
    await until('the second', () => markOf(replica, 'test') === 'two');
    assert.equal(replica.faulty, 0);
  });

  test(`${source}: what is in force stays when its extension changes, and is told of until it fits`, async () => {
    await using policies = await open(source);
    const { replica, write, register, forget, told } = policies;
    await write(guarded('one', 9));
    await until('the first', () => markOf(replica, 'test') === 'one');
    await register({ config_schema: SCHEMA });
    assert.match(told('policy_unfit')[0] ?? '', /\/validators\/0\/config\/level invalid_config must be at most 3/);
    assert.deepEqual([markOf(replica, 'test'), replica.faulty], ['one', 1]);
    await register({ type: 'pre' });
    assert.match(told('policy_unfit')[1] ?? '', /there is no validator extension 'guard'/);
    await forget();
    assert.deepEqual([markOf(replica, 'test'), replica.faulty], ['one', 0]);
  });
}

test('a start does not withhold what was in force because of an extension, and tells of it', async () => {
  await using policies = await open('kv');
  const { replica, write, register, restart } = policies;
  await write(guarded('one', 9));
  await until('the first', () => markOf(replica, 'test') === 'one');
  await register({ config_schema: SCHEMA });
  const { replica: another, told } = await restart();
  assert.deepEqual([markOf(another, 'test'), another.faulty, told('policy_unfit').length], ['one', 1, 2]);
  await write({ version: '2.0', providers: [{ name: 'alder', weight: 0, model: 'bad' }] });
  await until('the refusal', () => another.faulty === 2);
  assert.equal(markOf(another, 'test'), 'one');
});
