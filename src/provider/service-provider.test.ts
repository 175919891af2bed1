import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ProviderReply, ProviderRequest } from '../contracts/provider-call.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import type { ExecutionFailure } from '../core/execution-errors.ts';
import { Timers } from '../core/timers.ts';
import type { ChatCall, ChatEnd } from './provider.ts';
import { openServiceProvider } from './service-provider.ts';

const opened: Timers[] = [];
after(() => opened.forEach((timers) => timers[Symbol.dispose]()));

const CALL: ChatCall = {
  callId: 'a-1:1',
  order: { tenant_id: 'acme', request_id: 'rq-1', correlation: { trace_id: 't-1' }, options: { deadline_ms: 9_000 } },
  model: 'up-1',
  body: { model: 'small', messages: [{ role: 'user', content: 'hello' }], temperature: 0.5 },
  stream: false,
  firstChunkMs: 20_000,
  idleMs: 1_000,
};

function open(answer: (request: ProviderRequest, signal: AbortSignal) => Promise<ProviderReply> | ProviderReply) {
  const timers = new Timers(new ManualClock(1_790_000_000_000));
  opened.push(timers);
  const asked: { request: ProviderRequest; timeoutMs: number }[] = [];
  const provider = openServiceProvider({
    id: 'lab',
    config: { region: 'eu' },
    timers,
    async ask(request, { timeoutMs, signal }) {
      asked.push({ request, timeoutMs });
      return answer(request, signal);
    },
  });
  const heard = { chunks: [] as string[], ends: [] as ChatEnd[], failures: [] as ExecutionFailure[] };
  const chat = async (more: Partial<ChatCall> = {}) => {
    const running = provider.chat(
      { ...CALL, ...more },
      {
        chunk: (raw) => void heard.chunks.push(raw),
        end: (end) => void heard.ends.push(end),
        fail: (failure) => void heard.failures.push(failure),
      },
    );
    await nextTurn();
    return running;
  };
  return { provider, asked, heard, chat };
}

const REPLY: ProviderReply = { output: 'two lakes', usage: { prompt_tokens: 3, completion_tokens: 2 } };

test('a call is one question in the name of its caller, and the answer is a completion', async () => {
  const { asked, heard, chat } = open(() => REPLY);
  await chat();
  assert.deepEqual(asked, [
    {
      request: {
        version: '1',
        provider_id: 'lab',
        tenant_id: 'acme',
        request_id: 'rq-1',
        messages: [{ role: 'user', content: 'hello' }],
        parameters: { temperature: 0.5, model: 'up-1' },
        deadline_ms: 9_000,
        config: { region: 'eu' },
        trace_id: 't-1',
      },
      timeoutMs: 20_000,
    },
  ]);
  const [end] = heard.ends;
  assert.deepEqual(
    [end?.model, end?.finishReason, end?.usage?.inputTokens, end?.usage?.outputTokens, end?.outputChars],
    ['up-1', 'stop', 3, 2, 9],
  );
  const body = JSON.parse(end?.raw ?? '') as { id: string; choices: { message: object }[] };
  assert.deepEqual(
    [body.id, body.choices[0]?.message],
    ['chatcmpl-a-1:1', { role: 'assistant', content: 'two lakes' }],
  );
  assert.deepEqual([heard.chunks, heard.failures], [[], []]);
});

test('a stream is one chunk of content and the end', async () => {
  const { heard, chat } = open(() => REPLY);
  await chat({ stream: true });
  assert.equal(heard.chunks.filter((raw) => raw.includes('two lakes')).length, 1);
  assert.deepEqual(
    heard.ends.map(({ raw, usage }) => [raw, usage?.outputTokens]),
    [[undefined, 2]],
  );
});

test('an answer without usage leaves the count to the worker', async () => {
  const { heard, chat } = open(() => ({ output: 'two lakes' }));
  await chat();
  assert.deepEqual(
    heard.ends.map(({ usage, outputChars }) => [usage, outputChars]),
    [[undefined, 9]],
  );
});

const FAILURES: readonly (readonly [ProviderReply['error'] & object, string, string | undefined])[] = [
  [{ code: 'rate_limited', message: 'x', retry_after_ms: 1_500 }, 'PROVIDER_RATE_LIMITED', undefined],
  [{ code: 'PROVIDER_RATE_LIMITED', message: 'x', retry_after_ms: 1_500 }, 'PROVIDER_RATE_LIMITED', undefined],
  [{ code: '429', message: 'x' }, 'PROVIDER_RATE_LIMITED', undefined],
  [{ code: 'unavailable', message: 'x', retryable: true }, 'PROVIDER_UNAVAILABLE', 'overloaded'],
  [{ code: 'timeout', message: 'x' }, 'CONNECTION_TIMEOUT', 'upstream'],
  [{ code: 'invalid_payload', message: 'the field is odd' }, 'INVALID_INPUT', 'provider'],
  [{ code: 'content_blocked', message: 'x' }, 'CONTENT_BLOCKED', undefined],
  [{ code: 'context_length_exceeded', message: 'x' }, 'CONTEXT_LENGTH_EXCEEDED', undefined],
  [{ code: 'model_not_found', message: 'x' }, 'MODEL_NOT_FOUND', undefined],
  [{ code: 'flux_low', message: 'x', retryable: true }, 'PROVIDER_UNAVAILABLE', 'service'],
  [{ code: 'flux_low', message: 'x' }, 'EXECUTION_FAILED', 'service'],
  // Codes of workers and callers are not a service's to say.
  [{ code: 'WORKER_LOST', message: 'x', retryable: true }, 'PROVIDER_UNAVAILABLE', 'service'],
  [{ code: 'CANCELLED_BY_USER', message: 'x' }, 'EXECUTION_FAILED', 'service'],
];
for (const [error, code, detailCode] of FAILURES) {
  test(`${error.code}${error.retryable === true ? ', retryable,' : ''} is ${code}`, async () => {
    const { heard, chat } = open(() => ({ ok: false, error }));
    await chat();
    assert.deepEqual(
      heard.failures.map((failure) => [failure.code, failure.detailCode, failure.retryAfterMs]),
      [[code, detailCode, error.retry_after_ms]],
    );
    assert.equal(heard.failures[0]?.message === 'x', false, 'its words are not repeated');
  });
}

test('a wait that it asks for is bounded', async () => {
  const { heard, chat } = open(() => ({ ok: false, error: { code: '429', message: 'x', retry_after_ms: 1e9 } }));
  await chat();
  assert.equal(heard.failures[0]?.retryAfterMs, 60_000);
});

for (const [fault, code, detailCode] of [
  ['timeout', 'CONNECTION_TIMEOUT', 'first_chunk'],
  ['unavailable', 'PROVIDER_UNAVAILABLE', 'no_service'],
  ['invalid_reply', 'PROVIDER_PROTOCOL_ERROR', 'garbage'],
  ['payload_too_large', 'INVALID_INPUT', 'too_large'],
] satisfies readonly (readonly [ErrorCode, string, string])[]) {
  test(`${fault} of the bus is ${code}`, async () => {
    const { heard, chat } = open(() => Promise.reject(new BeamlineError(fault, 'no')));
    await chat();
    assert.deepEqual(
      heard.failures.map((failure) => [failure.code, failure.detailCode]),
      [[code, detailCode]],
    );
  });
}

for (const reply of [{}, { output: 7 }, { ok: false }, { ok: false, output: 'two' }] satisfies ProviderReply[]) {
  test(`${JSON.stringify(reply)} breaks the protocol`, async () => {
    const { heard, chat } = open(() => reply);
    await chat();
    assert.equal(heard.failures[0]?.code, 'PROVIDER_PROTOCOL_ERROR');
    assert.deepEqual(heard.ends, []);
  });
}

test('what a service cannot do is refused without asking it', async () => {
  const { asked, heard, chat } = open(() => REPLY);
  await chat({ body: { ...CALL.body, n: 2 } });
  assert.deepEqual(
    heard.failures.map(({ code, detailCode }) => [code, detailCode]),
    [['INVALID_INPUT', 'feature']],
  );
  assert.deepEqual(asked, []);
});

test('after an abort nothing is waited for or told; the end of the worker is a failure', async () => {
  const signals: AbortSignal[] = [];
  const replies: ((reply: ProviderReply) => void)[] = [];
  const { provider, heard, chat } = open((_, signal) => {
    signals.push(signal);
    return new Promise((resolve) => replies.push(resolve));
  });
  (await chat()).abort();
  assert.equal(signals[0]?.aborted, true);
  replies[0]?.(REPLY);
  await nextTurn();
  assert.deepEqual([heard.ends, heard.failures], [[], []]);
  await chat();
  await provider[Symbol.asyncDispose]();
  replies[1]?.(REPLY);
  await nextTurn();
  assert.deepEqual([heard.ends.length, heard.failures.map(({ code }) => code)], [0, ['NETWORK_ERROR']]);
});
