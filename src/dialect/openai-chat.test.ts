import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BeamlineError } from '../core/errors.ts';
import { readChatRequest, readChunk, readCompletion, readErrorBody, upstreamBody } from './openai-chat.ts';

const hello = { model: 'small', messages: [{ role: 'user', content: 'hello' }] };

test('reads the facts of a request', () => {
  const body = {
    ...hello,
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: 5,
    max_completion_tokens: 7,
    user: 'u1',
    anything: { of: 'theirs' },
  };
  assert.deepEqual(readChatRequest(body, 401), {
    model: 'small',
    stream: true,
    includeUsage: true,
    estimateInputTokens: 101,
    maxOutputTokens: 7,
    user: 'u1',
  });
});

test('null counts as absent wherever OpenAI allows it', () => {
  const optional = [
    'stream',
    'stream_options',
    'temperature',
    'top_p',
    'n',
    'presence_penalty',
    'frequency_penalty',
    'stop',
    'logprobs',
    'top_logprobs',
    'max_tokens',
    'max_completion_tokens',
    'tools',
    'user',
  ];
  const body = { ...hello, ...Object.fromEntries(optional.map((name) => [name, null])) };
  assert.deepEqual(readChatRequest(body, 40), {
    model: 'small',
    stream: false,
    includeUsage: false,
    estimateInputTokens: 10,
    maxOutputTokens: undefined,
    user: undefined,
  });
});

const tools = (count: number): readonly object[] =>
  Array.from({ length: count }, () => ({ type: 'function', function: { name: 'f' } }));
const messages = (count: number): readonly object[] =>
  Array.from({ length: count }, () => ({ role: 'user', content: '' }));

for (const [param, good, bad] of [
  ['model', ['x', 'a/b:c'], ['', 7, null, 'x'.repeat(257)]],
  ['messages', [messages(1), messages(4096)], [[], messages(4097), 'hello', null]],
  ['stream', [true, false], ['true', 1]],
  ['stream_options', [{}, { include_usage: false }], [7, { include_usage: 'yes' }]],
  ['temperature', [0, 2], [-0.1, 2.1, '1']],
  ['top_p', [0, 1], [-0.1, 1.1]],
  ['n', [1, 128], [0, 129, 1.5]],
  ['presence_penalty', [-2, 2], [-2.1, 2.1]],
  ['frequency_penalty', [-2, 2], [-2.1, 2.1]],
  ['stop', ['x', ['a', 'b', 'c', 'd']], [['a', 'b', 'c', 'd', 'e'], [1], 1]],
  ['max_tokens', [1, 100_000], [0, -1, 1.5, '9']],
  ['max_completion_tokens', [1, 100_000], [0, 0.5]],
  ['tools', [tools(0), tools(128)], [tools(129), ['f'], {}]],
  ['user', ['u'], [7]],
] as const) {
  test(`${param} is held to its range`, () => {
    for (const value of good) assert.ok(readChatRequest({ ...hello, [param]: value }, 9));
    for (const value of bad) {
      assert.throws(
        () => readChatRequest({ ...hello, [param]: value }, 9),
        (error: unknown) =>
          error instanceof BeamlineError && error.code === 'invalid_request' && error.details['param'] === param,
        JSON.stringify(value)?.slice(0, 80),
      );
    }
  });
}

for (const [name, body, param, code] of [
  ['model missing', { messages: hello.messages }, 'model', 'required'],
  ['messages missing', { model: 'small' }, 'messages', 'required'],
  ['an unknown role', { ...hello, messages: [...hello.messages, { role: 'robot' }] }, 'messages[1].role', 'invalid'],
  ['a message that is a text', { ...hello, messages: ['hello'] }, 'messages[0]', 'invalid'],
  ['top_logprobs alone', { ...hello, top_logprobs: 3 }, 'top_logprobs', 'invalid'],
  ['top_logprobs out of range', { ...hello, logprobs: true, top_logprobs: 21 }, 'top_logprobs', 'invalid'],
  ['no object', [], undefined, undefined],
] as const) {
  test(`refuses ${name} and names it`, () => {
    assert.throws(
      () => readChatRequest(body, 9),
      (error: unknown) => {
        assert.ok(error instanceof BeamlineError);
        const fields = error.details['fields'] as readonly { path: string; code: string }[] | undefined;
        assert.deepEqual([error.details['param'], fields?.[0]?.code], [param, code]);
        return true;
      },
    );
  });
}

test('names every bad field of one request', () => {
  assert.throws(
    () => readChatRequest({ ...hello, temperature: 9, n: 0 }, 9),
    (error: unknown) =>
      error instanceof BeamlineError &&
      (error.details['fields'] as readonly { path: string }[]).map(({ path }) => path).join() === 'temperature,n',
  );
});

test('the upstream gets the caller body with only model, stream and usage reporting set', () => {
  const body = { ...hello, seed: 3, x_unknown: [1], stream: true, stream_options: { include_usage: false, x: 1 } };
  const sent = (stream: boolean): unknown => JSON.parse(JSON.stringify(upstreamBody(body, { model: 'big', stream })));
  const rest = { messages: hello.messages, seed: 3, x_unknown: [1] };
  assert.deepEqual(sent(true), { ...rest, model: 'big', stream: true, stream_options: { include_usage: true, x: 1 } });
  assert.deepEqual(sent(false), { ...rest, model: 'big' });
});

const chunk = (choices: readonly unknown[], more: object = {}): string =>
  JSON.stringify({ model: 'm', choices, ...more });
const delta = (said: object): string => chunk([{ index: 0, delta: said, finish_reason: null }]);

for (const [name, json, hasContent, chars] of [
  ['a role', delta({ role: 'assistant', content: '' }), false, 0],
  ['content', delta({ content: 'hé' }), true, 2],
  ['reasoning_content', delta({ reasoning_content: 'abc' }), true, 3],
  ['reasoning', delta({ reasoning: 'abc' }), true, 3],
  ['a refusal', delta({ refusal: 'no' }), true, 2],
  ['a tool call', delta({ tool_calls: [{ index: 0, function: { name: 'f', arguments: '' } }] }), true, 1],
  ['argument fragments', delta({ tool_calls: [{ index: 0, function: { arguments: '{"a"' } }] }), true, 4],
  ['two choices', chunk([{ delta: { content: 'a' } }, { delta: { content: 'bc' } }]), true, 3],
  ['an empty delta', delta({}), false, 0],
] as const) {
  test(`a chunk with ${name} ${hasContent ? 'commits' : 'does not commit'}`, () => {
    const read = readChunk(json);
    assert.deepEqual([read?.hasContent, read?.chars, read?.isUsageOnly], [hasContent, chars, false]);
  });
}

test('a chunk with usage and no choices is usage only', () => {
  const usage = { prompt_tokens: 9, completion_tokens: 4, prompt_tokens_details: { cached_tokens: 8 } };
  const read = readChunk(chunk([], { usage }));
  assert.equal(read?.isUsageOnly, true);
  assert.deepEqual(read.usage, { inputTokens: 9, outputTokens: 4, cachedInputTokens: 8, reasoningTokens: 0 });
  assert.equal(readChunk(chunk([], { usage: null }))?.isUsageOnly, false);
});

for (const [reason, canonical] of [
  ['stop', 'stop'],
  ['length', 'length'],
  ['tool_calls', 'tool_calls'],
  ['function_call', 'tool_calls'],
  ['content_filter', 'content_filter'],
  ['eos', 'other'],
  ['constructor', 'other'],
] as const) {
  test(`finish reason ${reason} reads as ${canonical}`, () => {
    const read = readChunk(chunk([{ delta: {}, finish_reason: reason }]));
    assert.deepEqual([read?.finishReason, read?.finished], [canonical, 1]);
  });
}

for (const json of ['', '{', '[]', '7', 'null', '{}', '{"choices":7}', '{"choices":[7]}', '[DONE]']) {
  test(`${JSON.stringify(json)} is no chunk`, () => assert.equal(readChunk(json), undefined));
}

const usageCases: readonly (readonly [name: string, usage: unknown, sound: boolean])[] = [
  ['whole numbers', { prompt_tokens: 0, completion_tokens: 100_000_000 }, true],
  ['null details', { prompt_tokens: 1, completion_tokens: 1, prompt_tokens_details: null }, true],
  [
    'parts as large as the whole',
    {
      prompt_tokens: 3,
      completion_tokens: 2,
      prompt_tokens_details: { cached_tokens: 3 },
      completion_tokens_details: { reasoning_tokens: 2 },
    },
    true,
  ],
  ['a negative count', { prompt_tokens: -1, completion_tokens: 1 }, false],
  ['a fraction', { prompt_tokens: 1.5, completion_tokens: 1 }, false],
  ['too many', { prompt_tokens: 100_000_001, completion_tokens: 1 }, false],
  ['a text', { prompt_tokens: '1', completion_tokens: 1 }, false],
  ['a missing count', { prompt_tokens: 1 }, false],
  [
    'more cached than input',
    { prompt_tokens: 3, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 4 } },
    false,
  ],
  [
    'more reasoning than output',
    { prompt_tokens: 3, completion_tokens: 1, completion_tokens_details: { reasoning_tokens: 2 } },
    false,
  ],
  [
    'a part that is no count',
    { prompt_tokens: 3, completion_tokens: 1, prompt_tokens_details: { cached_tokens: -1 } },
    false,
  ],
  ['nothing', undefined, false],
];

for (const [name, usage, sound] of usageCases) {
  test(`usage with ${name} ${sound ? 'counts' : 'counts as absent'}`, () => {
    const choices = [{ message: { content: 'x' }, finish_reason: 'stop' }];
    assert.equal(readCompletion(JSON.stringify({ choices, usage }))?.usage !== undefined, sound);
  });
}

test('reads a whole answer with tool calls', () => {
  const calls = [{ id: 'c1', type: 'function', function: { name: 'get', arguments: '{"a":1}' } }];
  const choices = [
    { index: 0, message: { role: 'assistant', content: null, tool_calls: calls }, finish_reason: 'tool_calls' },
  ];
  assert.deepEqual(readCompletion(JSON.stringify({ model: 'm-1', choices })), {
    model: 'm-1',
    finishReason: 'tool_calls',
    usage: undefined,
    chars: 10,
    error: undefined,
  });
});

for (const json of ['', '<html>', '{}', '{"choices":[]}', '{"choices":[{}]}', '{"choices":[{"message":"x"}]}']) {
  test(`${JSON.stringify(json)} is no completion`, () => assert.equal(readCompletion(json), undefined));
}

for (const [json, expected] of [
  ['{"error":{"type":"t","code":429,"message":"m"}}', { type: 't', code: '429', message: 'm' }],
  ['{"error":{"code":"c"}}', { type: undefined, code: 'c', message: undefined }],
  ['{"error":"broken"}', { type: undefined, code: undefined, message: 'broken' }],
  ['{"error":null}', undefined],
  ['not json', undefined],
] as const) {
  test(`the error object of ${json}`, () => assert.deepEqual(readErrorBody(json), expected));
}
