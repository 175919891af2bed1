import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExtensionResets } from '../bus/extension-resets.ts';
import type { ExecAssignment, PostOrder } from '../contracts/assignment.ts';
import { cancel } from '../contracts/cancel.ts';
import { at } from '../contracts/contract.ts';
import { type ExtensionReply, type ExtensionRequest, extensionPost } from '../contracts/extension.ts';
import { openLog } from '../telemetry/log.ts';
import { CORRELATION, kinds, openWorker, settled } from './worker-fixture.ts';

type Answer = (request: ExtensionRequest) => ExtensionReply | Promise<ExtensionReply>;

const answerOf = (content: string) => ({
  id: 'c-1',
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
});

const item = (id: string, mode: PostOrder['mode'], more: Partial<PostOrder> = {}): PostOrder => ({
  id,
  subject: `beamline.ext.post.${id}.v1`,
  mode,
  config: {},
  timeout_ms: 1_000,
  retry: 0,
  ...more,
});

/** A post-processor that adds a word. */
const adding =
  (word: string): Answer =>
  ({ payload }) => ({ payload: answerOf(`${contentOf(payload)} ${word}`) });

const contentOf = (payload: unknown): string =>
  (payload as ReturnType<typeof answerOf>).choices[0]?.message.content ?? '';

async function open(served: Readonly<Record<string, Answer>> = {}) {
  const worker = await openWorker();
  const asked: ExtensionRequest[] = [];
  for (const [id, answer] of Object.entries(served)) {
    worker.bus.serve(at(extensionPost, { id }), { queue: 'extension' }, (request) => {
      asked.push(request);
      return answer(request);
    });
  }
  const call = async (post: PostOrder[], more: Partial<ExecAssignment> = {}): Promise<void> => {
    const ack = await worker.call({ stream: false, post, ...more });
    assert.equal(ack.status, 'accepted');
  };
  /** The provider answers. */
  const answered = async (content = 'hi'): Promise<void> => {
    const usage = { inputTokens: 10, outputTokens: 4, cachedInputTokens: 0, reasoningTokens: 0 };
    const raw = JSON.stringify(answerOf(content));
    worker.provider.sinks.at(-1)?.end({ model: 'm', finishReason: 'stop', usage, raw, outputChars: 2 });
    for (let turn = 0; turn < 10; turn++) await settled(); // eslint-disable-line no-await-in-loop -- turns of the bus
  };
  const ended = () => {
    const end = worker.heard.frames.at(-1);
    return end?.type === 'end' && end.raw !== undefined ? contentOf(JSON.parse(end.raw)) : undefined;
  };
  const results = () =>
    worker.heard.results.map(({ status, error_code, usage }) => [status, error_code, usage?.cost_micro_usd]);
  return { ...worker, asked, call, answered, ended, results };
}

test('each post-processor sees what the one before it left, and the last word leaves', async () => {
  const { call, answered, ended, asked, results, stop } = await open({ first: adding('one'), second: adding('two') });
  await call([item('first', 'required', { config: { a: 1 }, version: '2' }), item('second', 'optional')]);
  await answered();
  assert.equal(ended(), 'hi one two');
  assert.deepEqual(
    asked.map(({ type, extension_id, extension_version, tenant_id, config, context }) => [
      type,
      extension_id,
      extension_version,
      tenant_id,
      config,
      context,
    ]),
    [
      ['post', 'first', '2', 'acme', { a: 1 }, { provider_id: 'hand', model: 'small' }],
      ['post', 'second', undefined, 'acme', {}, { provider_id: 'hand', model: 'small' }],
    ],
  );
  assert.deepEqual(results(), [['success', undefined, 18]]);
  await stop();
});

test('an answer that nobody changed leaves as it came', async () => {
  const { call, answered, heard, stop } = await open({ look: () => ({ ok: true }) });
  await call([item('look', 'required')]);
  await answered('hi');
  const end = heard.frames.at(-1);
  assert.equal(end?.type === 'end' && end.raw, JSON.stringify(answerOf('hi')));
  await stop();
});

const FAILING: readonly (readonly [string, Answer])[] = [
  ['fails', () => ({ ok: false, error: { code: 'processing_error', message: 'no' } })],
  ['leaves no answer', () => ({ payload: { text: 'hi' } })],
  ['leaves an error', () => ({ payload: { error: { message: 'no' } } })],
  ['says too much', () => ({ context: { text: 'x'.repeat(70_000) } })],
  [
    'is broken',
    () => {
      throw new Error('broken');
    },
  ],
];
for (const [what, answer] of FAILING) {
  test(`a required one that ${what} fails the attempt, whose tokens are paid for`, async () => {
    const { call, answered, heard, results, stop } = await open({ guard: answer, never: adding('never') });
    await call([item('guard', 'required'), item('never', 'required')]);
    await answered();
    assert.deepEqual(kinds(heard), ['start'], 'the router says what follows');
    assert.deepEqual(results(), [['error', 'POST_PROCESSOR_FAILED', 18]]);
    const [outcome] = heard.outcomes;
    assert.deepEqual([outcome?.error?.class, outcome?.error?.retryable], ['execution', false]);
    await stop();
  });

  test(`an optional one that ${what} leaves the output as it was`, async () => {
    const { call, answered, ended, results, stop } = await open({ tidy: answer, next: adding('one') });
    await call([item('tidy', 'optional'), item('next', 'required')]);
    await answered();
    assert.equal(ended(), 'hi one');
    assert.deepEqual(results(), [['success', undefined, 18]]);
    await stop();
  });
}

test('a required one that nobody serves fails the attempt with that detail', async () => {
  const { call, answered, heard, stop } = await open();
  await call([item('gone', 'required')]);
  await answered();
  assert.deepEqual(heard.outcomes[0]?.error?.detail_code, 'extension_unavailable');
  await stop();
});

test('a stream with a required one is buffered: nothing leaves before it passed, then all of it does', async () => {
  const waiting: (() => void)[] = [];
  const { call, answered, heard, provider, results, stop } = await open({
    guard: async (request) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return adding('checked')(request);
    },
    tidy: adding('tidy'),
  });
  await call([item('guard', 'required'), item('tidy', 'optional')], { stream: true });
  assert.equal(provider.calls.at(-1)?.stream, false, 'the upstream is asked for a whole answer');
  assert.equal(provider.calls.at(-1)?.firstChunkMs, 60_000);
  await answered();
  assert.deepEqual(kinds(heard), ['start']);
  waiting.forEach((go) => go());
  for (let turn = 0; turn < 10; turn++) await settled(); // eslint-disable-line no-await-in-loop -- turns of the bus
  assert.deepEqual(kinds(heard), ['start', 'chunk', 'chunk', 'end']);
  const said = heard.frames.flatMap((frame) => (frame.type === 'chunk' ? [frame.raw ?? ''] : []));
  assert.match(said[0] ?? '', /"delta":\{"role":"assistant","content":"hi checked"\}/, 'the optional one is skipped');
  assert.deepEqual(results(), [['success', undefined, 18]]);
  await stop();
});

test('the limit of a first chunk does not cut a whole answer that is read for a stream', async () => {
  const { call, answered, provider, stop } = await open({ guard: adding('x') });
  await call([item('guard', 'required')], { stream: true, limits: { first_chunk_ms: 500 } });
  assert.equal(provider.calls.at(-1)?.firstChunkMs, 30_000);
  await answered();
  await stop();
});

test('optional ones are skipped on streams, which flow as they come', async () => {
  const { call, answered, provider, stop, asked } = await open({ tidy: adding('x') });
  await call([item('tidy', 'optional')], { stream: true });
  assert.equal(provider.calls.at(-1)?.stream, true);
  await answered();
  assert.deepEqual(asked, []);
  await stop();
});

test('a cancel while a post-processor works ends the attempt, and the whole answer is paid for', async () => {
  const waiting: ((reply: ExtensionReply) => void)[] = [];
  const slow: Answer = () => new Promise((resolve) => void waiting.push(resolve));
  const { bus, call, answered, heard, results, stop } = await open({ slow });
  await call([item('slow', 'required')]);
  await answered();
  const told = { version: '2', tenant_id: 'acme', assignment_id: 'a-1', requested_at_ms: 1 } as const;
  bus.publish(at(cancel), { ...told, reason: 'client_disconnected' }, CORRELATION);
  for (let turn = 0; turn < 10; turn++) await settled(); // eslint-disable-line no-await-in-loop -- turns of the bus
  assert.deepEqual(results(), [['cancelled', 'CANCELLED_BY_USER', 18]]);
  waiting.forEach((reply) => reply({ ok: true }));
  await settled();
  assert.equal(heard.outcomes.length, 1);
  await stop();
});

test('one that keeps failing is not asked any more until its breaker lets it', async () => {
  const { call, answered, asked, pass, results, stop } = await open({
    bad: () => ({ ok: false, error: { code: 'processing_error', message: 'no' } }),
  });
  const once = async (n: number): Promise<void> => {
    await call([item('bad', 'optional')], { assignment_id: `b-${n}` });
    await answered();
  };
  for (let n = 0; n < 7; n++) await once(n); // eslint-disable-line no-await-in-loop -- one after the other
  assert.equal(asked.length, 5);
  pass(60_000);
  await once(8);
  assert.equal(asked.length, 6);
  assert.equal(results().filter(([status]) => status === 'success').length, 8);
  await stop();
});

test('a reset that an administrator told to a router is obeyed by workers, for that extension alone', async () => {
  const ill: Answer = () => ({ ok: false, error: { code: 'processing_error', message: 'no' } });
  const { bus, timers, call, answered, asked, stop } = await open({ bad: ill, worse: ill });
  const log = openLog('silent', { write: () => undefined });
  const times = async (id: string, count: number): Promise<number> => {
    const before = asked.length;
    for (let n = 0; n < count; n++) {
      // eslint-disable-next-line no-await-in-loop -- one after the other
      await call([item(id, 'optional')], { assignment_id: `${id}-${before}-${n}` });
      await answered(); // eslint-disable-line no-await-in-loop -- as above
    }
    return asked.length - before;
  };
  assert.deepEqual([await times('bad', 7), await times('worse', 7)], [5, 5]);
  const resets = await ExtensionResets.open({ bus, timers, log, reset: () => undefined });
  await resets.reset('bad');
  await settled();
  assert.deepEqual([await times('bad', 1), await times('worse', 1)], [1, 0]);
  await resets[Symbol.asyncDispose]();
  await stop();
});
