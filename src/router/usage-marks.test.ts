import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../contracts/contract.ts';
import { execResult } from '../contracts/result.ts';
import { ledgerUsage, usageStream } from '../contracts/streams.ts';
import { type UsageEvent, usageMetered } from '../contracts/usage.ts';
import type { UsageRecord } from '../policy/decision-record.ts';
import { until } from '../../test/until.ts';
import { DecisionRing } from './decision-ring.ts';
import { failure, openJobs, orderOf } from './jobs/jobs-fixture.ts';
import { CORRELATION, openRouter } from './router-fixture.ts';

const RULES = JSON.parse('[{"id":"r","when":"true","then":{"tag":"long"}}]') as object[];
const DOCUMENT = {
  providers: [
    { name: 'alder', weight: 1 },
    { name: 'birch', weight: 0 },
  ],
  rules: RULES,
  experiments: [
    {
      id: 'smaller',
      unit: 'session',
      arms: [
        { name: 'control', share: 50 },
        { name: 'other', share: 50 },
      ],
    },
  ],
  fallbacks: [{ when: {}, retry: 0, to: 'birch' }],
};

test('tags and arms travel with every attempt, the fallback included, and into the usage event', async () => {
  const { bus, decide, fail, heard, pass, stop } = await openRouter(DOCUMENT);
  const events: UsageEvent[] = [];
  await bus.consume({ stream: usageStream, consumer: ledgerUsage, message: usageMetered.message }, (delivery) => {
    events.push(delivery.message);
    delivery.ack();
  });
  const { decision } = await decide({ context: { session: 's-1' } });
  await fail('PROVIDER_UNAVAILABLE');
  await pass(3_000);
  const [first, second] = heard.pushed;
  const { tags, experiments } = decision ?? {};
  assert.deepEqual([tags, experiments?.map(({ id }) => id)], [['long'], ['smaller']]);
  assert.deepEqual([first?.executor.provider_id, second?.executor.provider_id], ['alder', 'birch']);
  for (const pushed of [first, second]) {
    assert.deepEqual([pushed?.metadata?.['tags'], pushed?.metadata?.['experiments']], [tags, experiments]);
  }
  await bus.append(
    at(execResult),
    {
      version: '1',
      assignment_id: 'a-1',
      tenant_id: 'acme',
      status: 'success',
      job: { type: 'ai.chat', metadata: { ...second?.metadata, expected_cost_micro_usd: 12 } },
      usage: { model: 'small', input_tokens: 3, output_tokens: 1, cost_micro_usd: 5 },
    },
    { messageId: 'one', timeoutMs: 1_000, correlation: CORRELATION },
  );
  await until('the usage event', () => events.length > 0);
  assert.deepEqual(
    events.map((event) => [event.tags, event.experiments, event.expected_cost_micro_usd]),
    [[tags, experiments, 12]],
  );
  await stop();
});

test('a request without marks carries none, and what a foreign worker calls tags is not counted as ours', async () => {
  const { bus, decide, heard, stop } = await openRouter();
  await decide();
  assert.deepEqual(Object.keys(heard.pushed[0]?.metadata ?? {}), ['policy_id', 'policy_revision', 'key_id']);
  const events: UsageEvent[] = [];
  await bus.consume({ stream: usageStream, consumer: ledgerUsage, message: usageMetered.message }, (delivery) => {
    events.push(delivery.message);
    delivery.ack();
  });
  await bus.append(
    at(execResult),
    {
      version: '1',
      assignment_id: 'a-1',
      tenant_id: 'acme',
      status: 'success',
      job: { type: 'ai.chat', metadata: { policy_id: 'test', tags: 'a,b', experiments: 7 } },
      usage: { model: 'small', input_tokens: 3, output_tokens: 1, cost_micro_usd: 5 },
    },
    { messageId: 'one', timeoutMs: 1_000, correlation: CORRELATION },
  );
  await until('the usage event', () => events.length > 0);
  assert.deepEqual(
    events.map((event) => [event.policy_id, event.tags, event.experiments]),
    [['test', undefined, undefined]],
  );
  await stop();
});

test('tags and arms of a job travel with its retries and fallbacks as with a request, whichever router makes them', async () => {
  const { start, ask, orders, script, usage, pass, stop } = await openJobs({
    ...DOCUMENT,
    fallbacks: [{ when: {}, retry: 1, to: 'birch' }],
  });
  const first = await start();
  const down = failure('PROVIDER_UNAVAILABLE');
  script.push('miss', down, down);
  const { decision } = await ask(orderOf({ context: { session: 's-1' } }));
  assert.equal(orders.length, 1);
  await first[Symbol.asyncDispose]();
  await start();
  await pass(1_300_000);
  const marks = [decision?.tags, decision?.experiments];
  assert.deepEqual(marks[0], ['long']);
  assert.deepEqual(
    orders.map(({ executor, metadata }) => [executor.provider_id, metadata?.['tags'], metadata?.['experiments']]),
    [
      ['alder', ...marks],
      ['alder', ...marks],
      ['alder', ...marks],
      ['birch', ...marks],
    ],
  );
  const events = await usage();
  assert.deepEqual(
    events.map(({ provider_id, tags, experiments }) => [provider_id, tags, experiments]),
    [
      ['alder', ...marks],
      ['alder', ...marks],
      ['birch', ...marks],
    ],
  );
  await stop();
});

test('usage of a job is counted by the tags of its order and by those of rules, each once', async () => {
  const { start, ask, control, usage, pass, stop } = await openJobs(DOCUMENT);
  await start();
  const { decision } = await ask(orderOf({}, { tags: ['batch', 'long', 'batch', 'two words'] }));
  assert.deepEqual(decision?.tags, ['long'], 'what rules say is told alone');
  await control('annotate', { tags: ['later'] });
  await ask(
    orderOf(
      { request_id: 'rq-2', task: { type: 'text.slug', payload: { text: 'A' } } },
      { id: 'job_2', tags: ['block'] },
    ),
  );
  await pass(3_000);
  assert.deepEqual(
    (await usage()).map(({ event_type, tags }) => [event_type, tags]),
    [
      ['ai.chat', ['batch', 'long']],
      ['text.slug', ['block']],
    ],
  );
  await stop();
});

test('what an attempt of a request in an experiment took is written down beside its decision; of others it is not', async () => {
  const records = new DecisionRing();
  const lines: string[] = [];
  const write = records.write.bind(records);
  records.write = async (some) => {
    lines.push(...some.map(({ text }) => text));
    await write(some);
  };
  const { start, ask, script, pass, stop } = await openJobs(DOCUMENT, { records });
  await start();
  script.push(failure('PROVIDER_UNAVAILABLE'), {});
  const { decision } = await ask(orderOf({ context: { session: 's-1' } }));
  await pass(3_000);
  const other = { request_id: 'rq-2', idempotency_key: 'job_2' };
  await ask(orderOf(other, { id: 'job_2' }));
  await pass(3_000);
  const metered = lines.map((line) => JSON.parse(line) as UsageRecord).filter(({ type }) => type === 'usage');
  const { policy_id, experiments = [] } = decision ?? {};
  const arms = experiments.map(({ id, arm }) => ({ experiment: id, arm }));
  assert.deepEqual(
    metered.map(({ tenant_id, request_id, policy_id: policy, attempt, ...usage }) => [
      [tenant_id, request_id, policy, attempt],
      usage.arms,
      [usage.input_tokens, usage.output_tokens, usage.cost_micro_usd],
    ]),
    [1, 2].map((attempt) => [['acme', 'rq-1', policy_id, attempt], arms, [3, 2, 7]]),
  );
  await stop();
});
