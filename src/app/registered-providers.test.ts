import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../test/until.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { readConfig } from '../config/read.ts';
import { at } from '../contracts/contract.ts';
import { extensionBucket, extensionKey } from '../contracts/extension-descriptor.ts';
import { type ProviderRequest, providerCall } from '../contracts/provider-call.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { ExtensionRegistry } from '../router/extension-registry.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { openProviders } from './providers.ts';

const LAB = {
  id: 'lab_llm',
  type: 'provider' as const,
  timeout_ms: 1_000,
  retry: 0,
  enabled: true,
  config: { region: 'eu' },
  versions: [],
  instances: [],
};

async function open() {
  const timers = new Timers(systemClock, { tickMs: 5 });
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const list = [{ id: 'alder', type: 'sim', models: { small: {} } }];
  const { config } = readConfig({ env: {}, defaults: { 'providers.list': list } });
  const registry = await ExtensionRegistry.open({ bus, timers, log: telemetry.log, configured: new Map() });
  const put = (more: Partial<typeof LAB> = {}) =>
    registry.put({ document: { ...LAB, ...more }, expectedRevision: undefined, by: 'key_1' });
  const join = (pool = 'default') => openProviders({ config, timers, telemetry }, bus, pool);
  return {
    bus,
    put,
    join,
    remove: (id: string) => registry.remove(id, undefined),
    async [Symbol.asyncDispose]() {
      await registry[Symbol.asyncDispose]();
      await bus[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
    },
  };
}

test('a worker of any pool asks a registered provider, with its settings, until it is deleted', async () => {
  await using it = await open();
  await using early = await it.join();
  assert.equal(early.target('lab_llm', 'parrot'), undefined);
  await it.put();
  await until('the worker to hear of it', () => early.target('lab_llm', 'parrot') !== undefined);
  await using late = await it.join('gpu');
  const target = late.target('lab_llm', 'parrot');
  assert.equal(target?.upstreamModel, 'parrot', 'it is read before anything is asked');

  const asked: ProviderRequest[] = [];
  it.bus.serve(at(providerCall, { id: 'lab_llm' }), {}, (request) => {
    asked.push(request);
    return { output: 'hello', usage: { prompt_tokens: 1, completion_tokens: 1 } };
  });
  const answer = await new Promise((resolve, reject) => {
    target?.provider.chat(
      {
        order: {
          tenant_id: 'acme',
          request_id: 'rq-1',
          correlation: { trace_id: 't-1' },
          options: { deadline_ms: 5_000 },
        },
        model: 'parrot',
        body: { messages: [{ role: 'user', content: 'hi' }] },
        stream: false,
        firstChunkMs: 5_000,
        idleMs: 1_000,
      },
      { chunk: () => undefined, end: ({ raw }) => resolve(raw), fail: reject },
    );
  });
  assert.match(String(answer), /"content":"hello"/);
  assert.deepEqual(
    asked.map(({ provider_id, tenant_id, config }) => [provider_id, tenant_id, config]),
    [['lab_llm', 'acme', { region: 'eu' }]],
  );

  await it.put({ enabled: false });
  await until('it to be passed over', () => late.target('lab_llm', 'parrot') === undefined);
  await it.put();
  await until('it to be back', () => late.target('lab_llm', 'parrot') !== undefined);
  await it.remove('lab_llm');
  await until('it to be forgotten', () => early.target('lab_llm', 'parrot') === undefined);
});

test('a provider of the configuration wins, and a record that is no provider is none', async () => {
  await using it = await open();
  await it.put({ id: 'alder' });
  await using providers = await it.join();
  assert.ok(providers.target('alder', 'small')?.provider.embeddings !== undefined, 'a service has none');
  const bucket = await it.bus.openBucket(extensionBucket);
  await bucket.put(extensionKey('broken'), '{');
  await bucket.put(extensionKey('other'), JSON.stringify({ version: '2', ...LAB, updated_at_ms: 1, updated_by: 'k' }));
  await it.put({ id: 'last' });
  await until('what came after them', () => providers.target('last', 'x') !== undefined);
  assert.deepEqual([providers.target('broken', 'x'), providers.target('other', 'x')], [undefined, undefined]);
  assert.equal(providers.target('lab_llm', 'x'), undefined, 'its record stands under another key');
});
