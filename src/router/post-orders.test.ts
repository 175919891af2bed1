// What a work order says of post-processors, for requests and for jobs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { descriptorOf, documentOf } from './extension-document.ts';
import type { Descriptor } from './extensions.ts';
import { openJobs, orderOf } from './jobs/jobs-fixture.ts';
import { openRouter } from './router-fixture.ts';

const described = (id: string, more: Partial<Descriptor> = {}): readonly [string, Descriptor] => [
  id,
  { id, type: 'post', timeoutMs: 700, retry: 1, enabled: true, config: { from: 'registry', a: 1 }, ...more },
];

const REGISTRY = new Map([
  described('redact', { instances: [{ id: 'gpu', weight: 1, enabled: true }] }),
  described('tidy', { versions: [{ version: '2', enabled: true, holds: () => true }] }),
  described('off', { enabled: false }),
  described('guard', { type: 'validator' }),
]);

const raise = (): never => assert.fail('absent');

const POST = [
  { id: 'redact', mode: 'required', config: { a: 2 }, timeout_ms: 300, retry: 0 },
  { id: 'off' },
  { id: 'guard' },
  { id: 'tidy', when: "request.stream || task.type != 'ai.chat' || request.durable" },
];

const ORDERS = [
  {
    id: 'redact',
    subject: 'beamline.ext.post.redact-igpu.v1',
    mode: 'required',
    config: { from: 'registry', a: 2 },
    timeout_ms: 300,
    retry: 0,
  },
  {
    id: 'tidy',
    subject: 'beamline.ext.post.tidy-v2.v1',
    mode: 'optional',
    config: { from: 'registry', a: 1 },
    timeout_ms: 700,
    retry: 1,
    version: '2',
  },
];

test('subject, settings and times are those of registry and policy; what does not hold or is absent is left out', async () => {
  const { decide, heard, stop } = await openRouter({ weights: { alder: 1 }, post: POST }, { extensions: REGISTRY });
  await decide({ stream: true });
  await decide({ stream: false, request_id: 'rq-2' });
  assert.deepEqual(
    heard.pushed.map(({ post }) => post),
    [ORDERS, ORDERS.slice(0, 1)],
  );
  await stop();
});

test('a policy without any says nothing', async () => {
  const { decide, heard, stop } = await openRouter({ weights: { alder: 1 } }, { extensions: REGISTRY });
  await decide();
  assert.equal(heard.pushed[0] !== undefined && 'post' in heard.pushed[0], false);
  await stop();
});

test('a required one that the registry does not have ends the request before anybody is paid', async () => {
  const post = [{ id: 'off', mode: 'required' }];
  const { decide, heard, stop } = await openRouter({ weights: { alder: 1 }, post }, { extensions: REGISTRY });
  await decide();
  assert.deepEqual(heard.pushed, []);
  const [frame] = heard.frames;
  assert.equal(frame?.type === 'error' && frame.error.code, 'extension_not_found');
  await stop();
});

test('settings that do not fit the schema end the request, or leave an optional item out', async () => {
  const config_schema = { properties: { a: { type: 'string' } } };
  const { settings } = descriptorOf({ ...documentOf(REGISTRY.get('redact') ?? raise()), config_schema });
  const strict = new Map([...REGISTRY, described('redact', { settings: settings ?? raise() })]);
  for (const mode of ['required', 'optional']) {
    const post = [{ ...POST[0], mode }, { id: 'tidy' }];
    const { decide, heard, stop } = await openRouter({ weights: { alder: 1 }, post }, { extensions: strict });
    await decide({ stream: true });
    const [frame] = heard.frames;
    assert.deepEqual(
      [heard.pushed.flatMap((pushed) => pushed.post?.map(({ id }) => id)), frame?.type === 'error' && frame.error.code],
      mode === 'required' ? [[], 'extension_error'] : [['tidy'], false],
    );
    await stop();
  }
});

test('a failed post-processor is not tried again, nor anywhere else', async () => {
  const { decide, fail, heard, providers, stop } = await openRouter(
    { weights: { alder: 1, birch: 0 }, post: POST },
    { extensions: REGISTRY },
  );
  await decide();
  await fail('POST_PROCESSOR_FAILED', { class: 'execution', retryable: false });
  assert.deepEqual(providers(), ['alder']);
  const frame = heard.frames.at(-1);
  assert.equal(frame?.type === 'error' && frame.error.code, 'post_processor_failed');
  await stop();
});

test('a job carries them in each attempt; a block has none', async () => {
  const { start, ask, orders, stop } = await openJobs({ weights: { alder: 1 }, post: POST }, { extensions: REGISTRY });
  await start();
  await ask(orderOf());
  await ask(orderOf({ task: { type: 'transform', payload: { a: 1 } } }, { id: 'job_01JD7ZPK2M4N6P8R0T2V4X6Z9C' }));
  assert.deepEqual(
    orders.map(({ job, post }) => [job.type, post]),
    [
      ['ai.chat', ORDERS],
      ['transform', undefined],
    ],
  );
  await stop();
});

test('a job whose required post-processor is not there fails, and nobody is asked', async () => {
  const post = [{ id: 'guard', mode: 'required' }];
  const { start, ask, orders, state, stop } = await openJobs({ weights: { alder: 1 }, post }, { extensions: REGISTRY });
  await start();
  await ask(orderOf());
  assert.deepEqual(orders, []);
  assert.equal((await state())?.error?.code, 'extension_not_found');
  await stop();
});
