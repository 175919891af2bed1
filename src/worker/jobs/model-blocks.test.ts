import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../test/until.ts';
import type { ExecAssignment } from '../../contracts/assignment.ts';
import { at } from '../../contracts/contract.ts';
import { type ExtensionReply, extensionPost } from '../../contracts/extension.ts';
import type { ChatCall, ChatEnd, ChatSink, Provider } from '../../provider/provider.ts';
import { openJobs, settled } from './job-fixture.ts';

const BODY = { messages: [{ role: 'user', content: 'hello' }] };
const ORDER: Partial<ExecAssignment> = {
  executor: { provider_id: 'hand', channel: 'nats', model: 'small' },
  job: { type: 'ai.chat', payload: BODY },
  dialect: 'openai.chat',
  scopes: ['ai:invoke'],
};
const RAW = '{"choices":[{"message":{"content":"hi"}}]}';
const END: ChatEnd = {
  model: 'm',
  finishReason: 'stop',
  usage: { inputTokens: 10, outputTokens: 4, cachedInputTokens: 3, reasoningTokens: 0 },
  raw: RAW,
  outputChars: 2,
};

async function open(more: Partial<Provider> = {}) {
  const asked: { call: ChatCall; sink: ChatSink }[] = [];
  let aborted = 0;
  const provider: Provider = {
    id: 'hand',
    dialect: 'openai.chat',
    chat(call, sink) {
      asked.push({ call, sink });
      return { abort: () => void aborted++ };
    },
    [Symbol.asyncDispose]: async () => undefined,
    ...more,
  };
  const jobs = await openJobs({
    worker: {
      target: (id, model) => (id === 'hand' ? { provider, upstreamModel: `up-${model}` } : undefined),
      costOf: (_, __, { inputTokens, outputTokens }) => ({
        costMicroUsd: inputTokens + 2 * outputTokens,
        isUnpriced: false,
      }),
    },
  });
  return { jobs, asked, aborted: () => aborted };
}

test('the answer of a provider is the output as it came, metered, and the mark stands before it is asked', async () => {
  const { jobs, asked } = await open();
  await using _ = jobs;
  await jobs.assign({ ...ORDER, limits: { first_chunk_ms: 7, idle_ms: 8 } });
  await settled();
  const limits = { stream: false, firstChunkMs: 7, idleMs: 8 };
  const { order, ...call } = asked[0]?.call ?? {};
  assert.equal(order?.request_id, 'r-1');
  assert.deepEqual(call, { callId: 'a-1:1', model: 'up-small', body: BODY, ...limits });
  asked[0]?.sink.end(END);
  await settled();
  const [result] = jobs.heard.results;
  assert.deepEqual(
    [result?.status, result?.output, result?.finish_reason, result?.provider_id, result?.cost],
    ['success', JSON.parse(RAW), 'stop', 'hand', 0.000018],
  );
  assert.deepEqual(result?.usage, {
    model: 'small',
    input_tokens: 10,
    output_tokens: 4,
    cost_micro_usd: 18,
    cached_input_tokens: 3,
  });
  assert.deepEqual(
    jobs.heard.outcomes.map(({ state, provider_id }) => [state, provider_id]),
    [['succeeded', 'hand']],
  );
  assert.match((await jobs.markers.entries())[0]?.value ?? '', /"done"/);
});

test('an answer too large to keep has failed, and is paid for', async () => {
  const { jobs, asked } = await open();
  await using _ = jobs;
  await jobs.assign(ORDER);
  await settled();
  asked[0]?.sink.end({ ...END, raw: JSON.stringify({ text: 'x'.repeat(300_000) }) });
  await settled();
  const [result] = jobs.heard.results;
  assert.deepEqual([result?.error_code, result?.usage?.cost_micro_usd], ['OUTPUT_TOO_LARGE', 18]);
});

test('an answer that is no object has failed, and is paid for', async () => {
  const { jobs, asked } = await open();
  await using _ = jobs;
  await jobs.assign(ORDER);
  await settled();
  asked[0]?.sink.end({ ...END, raw: '[]' });
  await settled();
  const [result] = jobs.heard.results;
  assert.deepEqual([result?.error_code, result?.usage?.cost_micro_usd], ['PROVIDER_PROTOCOL_ERROR', 18]);
});

test('a failure is told to the breakers with all that the provider said of it', async () => {
  const { jobs, asked } = await open();
  await using _ = jobs;
  await jobs.assign(ORDER);
  await settled();
  const more = { httpStatus: 429, retryAfterMs: 1_500, originalSha256: 'c0ffee' };
  asked[0]?.sink.fail({ code: 'PROVIDER_RATE_LIMITED', message: 'slow down', ...more });
  await settled();
  assert.deepEqual(jobs.heard.outcomes[0]?.error, {
    class: 'limit',
    code: 'PROVIDER_RATE_LIMITED',
    retryable: true,
    message: 'slow down',
    retry_after_ms: 1_500,
    http_status: 429,
  });
  assert.equal(jobs.heard.results[0]?.usage, undefined, 'nothing was consumed');
  assert.match(jobs.lines.join(''), /"provider_refused"/);
});

test('a connection that is reset after the request is billed as an estimate', async () => {
  const { jobs, asked } = await open();
  await using _ = jobs;
  await jobs.assign(ORDER);
  await settled();
  asked[0]?.sink.fail({ code: 'NETWORK_ERROR', message: 'reset', detailCode: 'reset' });
  await settled();
  assert.deepEqual(
    jobs.heard.results.map(({ error_code, usage }) => [error_code, usage?.estimated, usage?.output_tokens]),
    [['NETWORK_ERROR', true, 0]],
  );
});

test('a cancel closes the upstream, and what was asked is settled as an estimate', async () => {
  const { jobs, asked, aborted } = await open();
  await using _ = jobs;
  await jobs.assign(ORDER);
  await settled();
  jobs.cancel();
  await settled();
  asked[0]?.sink.end(END);
  await settled();
  assert.equal(aborted(), 1);
  assert.deepEqual(
    jobs.heard.results.map(({ status, usage }) => [status, usage?.estimated, usage?.output_tokens]),
    [['cancelled', true, 0]],
  );
});

const REFUSED: readonly (readonly [string, Partial<ExecAssignment>, string])[] = [
  ['a provider that is not here', { executor: { provider_id: 'other', channel: 'nats' } }, 'WORKER_UNAVAILABLE'],
  ['another dialect', { dialect: 'anthropic.messages' }, 'INVALID_INPUT'],
  ['a credential without inference', { scopes: ['fs:read'] }, 'PERMISSION_DENIED'],
];
for (const [what, more, code] of REFUSED) {
  test(`${what} ends as ${code}`, async () => {
    const { jobs, asked } = await open();
    await using _ = jobs;
    await jobs.assign({ ...ORDER, ...more });
    await settled();
    assert.deepEqual(
      jobs.heard.results.map(({ error_code, usage }) => [error_code, usage]),
      [[code, undefined]],
    );
    assert.equal(asked.length, 0);
  });
}

test('an order of old, which knows no scopes and no dialect, is served', async () => {
  const { jobs, asked } = await open();
  await using _ = jobs;
  const { executor, job } = ORDER;
  await jobs.assign({ ...(executor && { executor }), ...(job && { job: { ...job, type: 'chat' } }) });
  await settled();
  assert.equal(asked.length, 1);
});

test('the answer of a job passes its post-processors; what a required one stops has failed and is paid for', async () => {
  const { jobs, asked } = await open();
  await using _ = jobs;
  let reply: ExtensionReply = { payload: { choices: [{ message: { content: 'hi there' } }] } };
  jobs.bus.serve(at(extensionPost, { id: 'tidy' }), {}, () => reply);
  const item = { id: 'tidy', subject: 'beamline.ext.post.tidy.v1', config: {}, timeout_ms: 1_000, retry: 0 };
  const run = async (assignment_id: string): Promise<void> => {
    await jobs.assign({ ...ORDER, assignment_id, post: [{ ...item, mode: 'required' }] });
    await settled();
    asked.at(-1)?.sink.end(END);
    await until('the result', () => jobs.heard.results.some((result) => result.assignment_id === assignment_id));
  };
  await run('a-1');
  reply = { ok: false, error: { code: 'processing_error', message: 'no' } };
  await run('a-2');
  assert.deepEqual(
    jobs.heard.results.map(({ status, error_code, output, usage }) => [
      status,
      error_code,
      output,
      usage?.cost_micro_usd,
    ]),
    [
      ['success', undefined, { choices: [{ message: { content: 'hi there' } }] }, 18],
      ['error', 'POST_PROCESSOR_FAILED', undefined, 18],
    ],
  );
});

const EMBED: Partial<ExecAssignment> = {
  ...ORDER,
  job: { type: 'ai.embed', payload: { input: ['a', 'b'] } },
  dialect: 'openai.embeddings',
};

test('vectors are made by the side of the provider that makes them', async () => {
  const asked: { call: ChatCall; sink: ChatSink }[] = [];
  const chat = (call: ChatCall, sink: ChatSink) => {
    asked.push({ call, sink });
    return { abort: () => undefined };
  };
  const { jobs } = await open({ embeddings: { id: 'hand', dialect: 'openai.embeddings', chat } });
  await using _ = jobs;
  await jobs.assign(EMBED);
  await jobs.assign({ ...EMBED, assignment_id: 'a-2', job: { type: 'embedding', payload: { input: 'c' } } });
  await settled();
  assert.deepEqual(
    asked.map(({ call }) => call.body),
    [{ input: ['a', 'b'] }, { input: 'c' }],
  );
  const usage = { inputTokens: 7, outputTokens: 0, cachedInputTokens: 0, reasoningTokens: 0 };
  asked[0]?.sink.end({ ...END, usage, raw: '{"data":[{"embedding":"AAAAPw=="}]}' });
  await settled();
  const [result] = jobs.heard.results;
  assert.deepEqual(
    [result?.status, result?.output, result?.usage?.cost_micro_usd],
    ['success', { data: [{ embedding: 'AAAAPw==' }] }, 7],
  );
});

test('a provider without that side is not asked', async () => {
  const { jobs, asked } = await open();
  await using _ = jobs;
  await jobs.assign(EMBED);
  await settled();
  const [result] = jobs.heard.results;
  assert.deepEqual([result?.error_code, result?.error?.detail_code, asked.length], ['INVALID_INPUT', 'feature', 0]);
});
