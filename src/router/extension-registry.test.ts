import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../test/until.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { controlBucket } from '../contracts/contract-switch.ts';
import {
  extensionBucket,
  type ExtensionDocument,
  extensionKey,
  extensionResetKey,
} from '../contracts/extension-descriptor.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { ExtensionRegistry } from './extension-registry.ts';
import { ExtensionResets } from '../bus/extension-resets.ts';
import type { Descriptor } from './extensions.ts';

const GUARD: ExtensionDocument = {
  id: 'guard',
  type: 'validator',
  timeout_ms: 500,
  retry: 0,
  enabled: true,
  versions: [],
  instances: [],
};
const RECORD = { version: '2', ...GUARD, updated_at_ms: 1, updated_by: 'key_1' };

async function open() {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const lines: string[] = [];
  const telemetry = { log: openLog('info', { write: (line) => void lines.push(line) }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const join = (configured: ReadonlyMap<string, Descriptor> = new Map()) =>
    ExtensionRegistry.open({ bus, timers, log: telemetry.log, configured });
  return { bus, timers, log: telemetry.log, join, lines, bucket: await bus.openBucket(extensionBucket) };
}

const write = (document: ExtensionDocument, expectedRevision?: number) => ({ document, expectedRevision, by: 'key_1' });

test('what one router writes all know, those that start later too, and what one deletes none', async () => {
  const { join } = await open();
  const [one, two] = [await join(), await join()];
  const { revision, created } = await one.put(write(GUARD));
  assert.deepEqual([created, one.get('guard')?.timeoutMs], [true, 500]);
  await until('the second to hear it', () => two.get('guard')?.timeoutMs === 500);
  await assert.rejects(two.put(write(GUARD, 0)), { code: 'precondition_failed' });
  await two.put(write({ ...GUARD, timeout_ms: 70 }, revision));
  await until('the first to hear it', () => one.get('guard')?.timeoutMs === 70);
  const three = await join();
  assert.equal(three.get('guard')?.timeoutMs, 70, 'it is read before anything is asked');
  await assert.rejects(one.remove('guard', revision), { code: 'precondition_failed' });
  await three.remove('guard', undefined);
  assert.equal(three.get('guard'), undefined);
  await until('all to forget it', () => one.get('guard') === undefined && two.get('guard') === undefined);
  for (const registry of [one, two, three]) await registry[Symbol.asyncDispose]();
});

const BAD: readonly (readonly [what: string, value: string])[] = [
  ['no JSON', '{'],
  ['another type', JSON.stringify({ ...RECORD, type: 'flow' })],
  ['a schema that is none', JSON.stringify({ ...RECORD, config_schema: { $ref: '#' } })],
  ['the record of another key', JSON.stringify({ ...RECORD, id: 'other' })],
  [
    'a condition that is none',
    JSON.stringify({ ...RECORD, versions: [{ version: '2', when: 'a ==', enabled: true }] }),
  ],
];

for (const [what, value] of BAD) {
  test(`${what} is told and passed over, and the last good record stays`, async () => {
    const { bucket, join, lines } = await open();
    const registry = await join();
    await registry.put(write(GUARD));
    await bucket.put(extensionKey('guard'), value);
    await bucket.put(extensionKey('later'), JSON.stringify({ ...RECORD, id: 'later' }));
    await until('the one behind it', () => registry.get('later'));
    assert.equal(registry.get('guard')?.timeoutMs, 500);
    assert.ok(lines.some((line) => line.includes('extension_unreadable')));
    await registry[Symbol.asyncDispose]();
  });
}

test('the configuration wins, and is not written', async () => {
  const { bucket, join, lines } = await open();
  await bucket.put(extensionKey('guard'), JSON.stringify(RECORD));
  const fixed: Descriptor = { id: 'guard', type: 'pre', timeoutMs: 9_000, retry: 0, enabled: true, config: {} };
  const registry = await join(new Map([['guard', fixed]]));
  await until('the line', () => lines.some((line) => line.includes('extension_of_configuration_wins')));
  assert.equal(registry.get('guard'), fixed);
  assert.deepEqual(
    (await registry.list()).map(({ extension, source }) => [extension.id, extension.type, source]),
    [['guard', 'pre', 'configuration']],
  );
  await assert.rejects(registry.put(write(GUARD)), { code: 'conflict' });
  await assert.rejects(registry.remove('guard', undefined), { code: 'conflict' });
  await registry[Symbol.asyncDispose]();
});

test('a reset is obeyed once by every router; garbage is told and passed over', async () => {
  const { bus, timers, log, lines } = await open();
  const heard: string[] = [];
  const join = (name: string) =>
    ExtensionResets.open({ bus, timers, log, reset: (id) => void heard.push(`${name} ${id}`) });
  const [one, two] = [await join('one'), await join('two')];
  await (await bus.openBucket(controlBucket)).put(extensionResetKey('ill'), '{}');
  await one.reset('guard');
  await until('the second to hear it', () => heard.includes('two guard'));
  await two.reset('guard');
  await until('the first to hear it', () => heard.filter((line) => line === 'one guard').length === 2);
  assert.deepEqual(heard.toSorted(), ['one guard', 'one guard', 'two guard', 'two guard']);
  await until('the line', () => lines.some((line) => line.includes('extension_reset_unreadable')));
  for (const resets of [one, two]) await resets[Symbol.asyncDispose]();
});
