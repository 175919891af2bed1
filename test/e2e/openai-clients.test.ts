/* eslint-disable no-await-in-loop -- requests of a test come one after the other */
// What real clients see: the official OpenAI package and the AI SDK, against one process and against three over NATS.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, jsonSchema, streamText, type ToolSet } from 'ai';
import OpenAI, {
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
} from 'openai';
import type { ChatCompletionChunk, ChatCompletionTool } from 'openai/resources/chat/completions';
import { MODES, type Mode, type Stack, startStack } from '../stack.ts';
import { until } from '../until.ts';

const messages = [{ role: 'user' as const, content: 'Say something about the lake.' }];
const lookup = {
  type: 'object' as const,
  properties: { city: { type: 'string' as const } },
  required: ['city'],
  additionalProperties: false,
};
const tools: ChatCompletionTool[] = [{ type: 'function', function: { name: 'lookup', parameters: lookup } }];

for (const mode of MODES) {
  void describe(`${mode}: the OpenAI client`, () => withStack(mode, openAiSuite));
  void describe(`${mode}: the AI SDK`, () => withStack(mode, aiSdkSuite));
}

/** One stack for all tests of a suite. */
function withStack(mode: Mode, suite: (stack: () => Stack) => void): void {
  let stack: Stack | undefined;
  before(async () => {
    stack = await startStack(mode);
  });
  after(() => stack?.[Symbol.asyncDispose]());
  suite(() => {
    assert.ok(stack);
    return stack;
  });
}

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const seen: T[] = [];
  for await (const item of stream) seen.push(item);
  return seen;
}

const textOf = (chunks: readonly ChatCompletionChunk[], index = 0): string =>
  chunks
    .flatMap(({ choices }) => choices)
    .filter((choice) => choice.index === index)
    .map(({ delta }) => delta.content ?? '')
    .join('');

function openAiSuite(stack: () => Stack): void {
  const open = (apiKey = stack().key): OpenAI =>
    new OpenAI({ baseURL: `${stack().url}/v1`, apiKey, maxRetries: 0, timeout: 20_000 });

  test('gets a whole answer with its usage, and a stream says the same', async () => {
    const whole = await open().chat.completions.create({ model: 'alder/test-chat', messages });
    assert.equal(whole.object, 'chat.completion');
    assert.equal(whole.model, 'test-chat');
    const [choice] = whole.choices;
    assert.deepEqual([choice?.message.role, choice?.finish_reason], ['assistant', 'stop']);
    assert.equal(whole.usage?.completion_tokens, 40);
    const stream = await open().chat.completions.create({ model: 'alder/test-chat', messages, stream: true });
    const chunks = await all(stream);
    assert.equal(textOf(chunks), choice?.message.content);
    assert.equal(chunks.at(-1)?.choices[0]?.finish_reason, 'stop');
  });

  test('gets embeddings, also many that are too large for one message', async () => {
    const input = Array.from({ length: 300 }, (_, n) => `lake number ${n}`);
    const ask = { model: 'alder/test-chat', dimensions: 1_536 };
    const many = await open().embeddings.create({ ...ask, input });
    assert.equal(many.data.length, 300);
    assert.deepEqual([many.model, many.data[7]?.index, many.data[7]?.embedding.length], ['test-chat', 7, 1_536]);
    assert.equal(many.usage.prompt_tokens, many.usage.total_tokens);
    const [text = ''] = input;
    const { data, response } = await open()
      .embeddings.create({ ...ask, input: text, encoding_format: 'float' })
      .withResponse();
    assert.deepEqual(data.data[0]?.embedding, many.data[0]?.embedding, 'the client asks for base64 by itself');
    // 4 tokens at 1 micro-USD each, and no output.
    assert.deepEqual([data.usage.prompt_tokens, response.headers.get('x-beamline-cost')], [4, '4']);
    await assert.rejects(open().embeddings.create({ ...ask, input: [] }), BadRequestError);
  });

  test('gets the usage of a stream where it asked for it, and nowhere else', async () => {
    const ask = { model: 'alder/test-chat', messages, stream: true } as const;
    const told = await all(await open().chat.completions.create({ ...ask, stream_options: { include_usage: true } }));
    assert.deepEqual(told.at(-1)?.choices, []);
    assert.equal(told.at(-1)?.usage?.completion_tokens, 40);
    const untold = await all(await open().chat.completions.create(ask));
    assert.ok(untold.every(({ choices, usage }) => choices.length === 1 && (usage ?? null) === null));
  });

  test('gets a tool call whole', async () => {
    const answer = await open().chat.completions.create({ model: 'alder/test-tools', messages, tools });
    const [choice] = answer.choices;
    const [call] = choice?.message.tool_calls ?? [];
    assert.ok(call?.type === 'function');
    assert.deepEqual(
      [choice?.finish_reason, call.function.name, JSON.parse(call.function.arguments)],
      ['tool_calls', 'lookup', { city: 'Ohrid' }],
    );
  });

  test('gets the fragments of a tool call with their index and in their order', async () => {
    const ask = { model: 'alder/test-tools', messages, tools };
    const chunks = await all(await open().chat.completions.create({ ...ask, stream: true }));
    const fragments = chunks.flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? []);
    assert.ok(fragments.length > 2);
    assert.ok(fragments.every(({ index }) => index === 0));
    assert.deepEqual([fragments[0]?.type, fragments[0]?.function?.name], ['function', 'lookup']);
    assert.match(fragments[0]?.id ?? '', /^call_/);
    const written = fragments.map((fragment) => fragment.function?.arguments ?? '').join('');
    assert.deepEqual(JSON.parse(written), { city: 'Ohrid' });
    const whole = await open().chat.completions.stream(ask).finalChatCompletion();
    const [call] = whole.choices[0]?.message.tool_calls ?? [];
    assert.equal(call?.type === 'function' ? call.function.arguments : '', written);
  });

  test('gets as many choices as it asked for, whole and streamed', async () => {
    const ask = { model: 'alder/test-chat', messages, n: 2 };
    const whole = await open().chat.completions.create(ask);
    assert.deepEqual(
      whole.choices.map(({ index }) => index),
      [0, 1],
    );
    const chunks = await all(await open().chat.completions.create({ ...ask, stream: true }));
    assert.deepEqual(
      [textOf(chunks, 0), textOf(chunks, 1)],
      whole.choices.map(({ message }) => message.content),
    );
  });

  test('gets an answer that ends before its stop word', async () => {
    const { choices } = await open().chat.completions.create({ model: 'alder/test-chat', messages });
    const text = choices[0]?.message.content ?? '';
    const [first = '', second = ''] = text.split(' ');
    const stopped = await open().chat.completions.create({ model: 'alder/test-chat', messages, stop: [second] });
    assert.equal(stopped.choices[0]?.message.content?.trim(), first);
  });

  test('reaches the provider with fields that Beamline does not know', async () => {
    const unknown = { top_k: 7, provider_options: { deep: [1, { a: null }] } };
    await open().chat.completions.create({ model: 'alder/test-chat', messages, seed: 4, ...unknown });
    const sent = stack().upstream.bodies.at(-1) as Record<string, unknown>;
    assert.deepEqual(
      [sent['model'], sent['messages'], sent['seed'], sent['top_k'], sent['provider_options']],
      ['test-chat', messages, 4, unknown.top_k, unknown.provider_options],
    );
  });

  test('finds its models listed, and each by its name', async () => {
    const models = await all(open().models.list());
    const ids = new Set(models.map(({ id }) => id));
    for (const id of ['fast', 'steady', 'test-chat']) assert.ok(ids.has(id), id);
    const model = await open().models.retrieve('test-chat');
    assert.deepEqual([model.id, model.object], ['test-chat', 'model']);
    await assert.rejects(open().models.retrieve('test-nothing'), NotFoundError);
  });

  // A name that resolves; the policy and the provider that served it.
  const names = [
    ['test-chat', 'default', /^(alder|birch)$/],
    ['birch/test-chat', 'direct', /^birch$/],
    ['fast', 'direct', /^alder$/],
    ['policy:fixed', 'fixed', /^birch$/],
    ['fixed', 'fixed', /^birch$/],
  ] as const;

  test('is told when neither the request nor its policy names a model', async () => {
    await assert.rejects(open().chat.completions.create({ model: 'policy:steady', messages }), BadRequestError);
  });

  for (const [name, policy, provider] of names) {
    test(`is told how ${name} was routed, whole and streamed`, async () => {
      for (const stream of [false, true]) {
        const { response } = await open().chat.completions.create({ model: name, messages, stream }).withResponse();
        const { headers } = response;
        assert.match(headers.get('x-beamline-provider') ?? '', provider);
        assert.equal(headers.get('x-beamline-attempts'), '1');
        assert.equal(headers.get('x-beamline-policy'), policy);
        assert.match(headers.get('x-request-id') ?? '', /^req_[0-9A-Z]{26}$/);
        if (!stream) assert.match(headers.get('x-beamline-cost') ?? '', /^\d+$/);
      }
    });
  }

  test('steers by headers: policy, provider and request id', async () => {
    const { response } = await open()
      .chat.completions.create(
        { model: 'test-chat', messages },
        { headers: { 'x-beamline-policy': 'default', 'x-beamline-provider': 'birch', 'x-request-id': 'mine-1' } },
      )
      .withResponse();
    const { headers } = response;
    assert.equal(headers.get('x-beamline-provider'), 'birch');
    assert.equal(headers.get('x-request-id'), 'mine-1');
    assert.match(headers.get('x-beamline-request-id') ?? '', /^req_/);
  });

  test('is answered by the retry and the fallback of its policy, whole and streamed', async () => {
    const headers = { 'x-beamline-policy': 'steady' };
    for (const stream of [false, true]) {
      const before = stack().upstream.bodies.length;
      await assert.rejects(
        open().chat.completions.create({ model: 'test-500', messages, stream }, { headers }),
        InternalServerError,
      );
      // One try and one retry of each provider.
      assert.equal(stack().upstream.bodies.length - before, 4);
      // Five failures in a row would open the breaker that the other tests' policy has.
      await open().chat.completions.create({ model: 'alder/test-chat', messages });
    }
    const { data, response } = await open()
      .chat.completions.create({ model: 'test-flaky', messages }, { headers })
      .withResponse();
    assert.equal(data.choices.length, 1);
    assert.equal(response.headers.get('x-beamline-attempts'), '2');
  });

  test('throws the class of each error', async () => {
    await assert.rejects(
      open('blk_test_nonsense').chat.completions.create({ model: 'test-chat', messages }),
      (error) => {
        assert.ok(error instanceof AuthenticationError);
        assert.equal(error.code, 'invalid_api_key');
        return true;
      },
    );
    await assert.rejects(open().chat.completions.create({ model: 'no-such-model', messages }), (error) => {
      assert.ok(error instanceof NotFoundError);
      assert.deepEqual([error.code, error.param], ['model_not_found', 'model']);
      return true;
    });
    await assert.rejects(open().chat.completions.create({ model: 'test-chat', messages, temperature: 3 }), (error) => {
      assert.ok(error instanceof BadRequestError);
      assert.deepEqual(
        [error.code, error.param, error.type],
        ['invalid_request', 'temperature', 'invalid_request_error'],
      );
      return true;
    });
    // The provider rests for as long as it asked for, and the tests that follow need the other one.
    await assert.rejects(open().chat.completions.create({ model: 'birch/test-429', messages }), (error) => {
      assert.ok(error instanceof InternalServerError);
      assert.deepEqual([error.status, error.code], [503, 'provider_rate_limited']);
      assert.deepEqual([error.headers.get('retry-after'), error.headers.get('x-should-retry')], ['2', 'true']);
      return true;
    });
  });

  test('that leaves a stream closes the upstream', async () => {
    const { upstream } = stack();
    const cutBefore = upstream.cut;
    const stream = await open().chat.completions.create({ model: 'alder/test-slow', messages, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    await until('the upstream to be closed', () => upstream.cut === cutBefore + 1 && upstream.running === 0);
  });

  test('that gives up a whole answer closes the upstream', async () => {
    const { upstream } = stack();
    const cutBefore = upstream.cut;
    const leaving = new AbortController();
    const asked = open().chat.completions.create({ model: 'alder/test-slow', messages }, { signal: leaving.signal });
    await until('the request to arrive', () => upstream.running === 1);
    leaving.abort();
    await assert.rejects(asked, APIUserAbortError);
    await until('the upstream to be closed', () => upstream.cut === cutBefore + 1 && upstream.running === 0);
  });
}

function aiSdkSuite(stack: () => Stack): void {
  const chat = (name: string) =>
    createOpenAICompatible({
      name: 'beamline',
      baseURL: `${stack().url}/v1`,
      apiKey: stack().key,
      includeUsage: true,
    }).chatModel(name);

  test('generates a text, and streams the same', async () => {
    const prompt = 'Say something about the river.';
    const { text, usage, finishReason } = await generateText({ model: chat('alder/test-chat'), prompt, maxRetries: 0 });
    assert.deepEqual([usage.outputTokens, finishReason], [40, 'stop']);
    const streamed = streamText({ model: chat('alder/test-chat'), prompt, maxRetries: 0 });
    const parts = await all(streamed.textStream);
    assert.ok(parts.length > 10);
    assert.equal(parts.join(''), text);
    assert.equal((await streamed.usage).outputTokens, 40);
  });

  test('calls a tool, whole and streamed', async () => {
    const ask = {
      model: chat('alder/test-tools'),
      prompt: 'Where is it?',
      maxRetries: 0,
      tools: { lookup: { description: 'Looks a city up.', inputSchema: jsonSchema(lookup) } } satisfies ToolSet,
    };
    const { toolCalls } = await generateText(ask);
    const streamed = await streamText(ask).toolCalls;
    for (const [call] of [toolCalls, streamed]) {
      assert.deepEqual([call?.toolName, call?.input], ['lookup', { city: 'Ohrid' }]);
    }
  });

  test('rejects with the status of an error', async () => {
    const asked = generateText({ model: chat('no-such-model'), prompt: 'Hello', maxRetries: 0 });
    await assert.rejects(asked, { statusCode: 404, isRetryable: false });
  });
}
