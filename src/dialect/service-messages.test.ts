import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completionOf, questionOf } from './service-messages.ts';

const MESSAGES = [{ role: 'user', content: 'Name two lakes' }];
const OF = { id: 'chatcmpl-1', model: 'medium-2', createdMs: 1_790_000_000_999 };

test('a chat body is a question: its messages, and parameters under their own names', () => {
  const body = { model: 'asked', messages: MESSAGES, stream: true, stream_options: {}, temperature: 0.2, stop: ['x'] };
  assert.deepEqual(questionOf(body, 'up-1'), {
    kind: 'asked',
    question: { messages: MESSAGES, parameters: { temperature: 0.2, stop: ['x'], model: 'up-1' } },
  });
});

for (const [what, body, expected] of [
  ['the newer name of the limit', { max_completion_tokens: 9, max_tokens: 5 }, 9],
  ['the older name', { max_tokens: 5 }, 5],
  ['null, which is absent', { max_tokens: null }, undefined],
] as const) {
  test(`the limit of the output is max_tokens: ${what}`, () => {
    const asked = questionOf({ messages: MESSAGES, ...body }, 'm');
    assert.equal(asked.kind === 'asked' && asked.question.parameters['max_tokens'], expected);
  });
}

test('a prompt is asked where there are no messages', () => {
  assert.deepEqual(questionOf({ prompt: 'Name two lakes', n: 1 }, 'm'), {
    kind: 'asked',
    question: { prompt: 'Name two lakes', parameters: { model: 'm' } },
  });
});

for (const [why, body] of [
  ['several_choices', { messages: MESSAGES, n: 2 }],
  ['no_messages', {}],
  ['no_messages', { messages: ['hello'] }],
] as const) {
  test(`${JSON.stringify(body)} is refused as ${why}`, () => {
    assert.deepEqual(questionOf(body, 'm'), { kind: 'refused', why });
  });
}

test('a text is a completion with usage and the words of the service', () => {
  const metadata = { model: 'medium-2b', finish_reason: 'length' };
  const reply = { output: 'Baikal, Ohrid', usage: { prompt_tokens: 12, completion_tokens: 9 }, metadata };
  assert.deepEqual(completionOf(reply, OF), {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1_790_000_000,
    model: 'medium-2b',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'Baikal, Ohrid' },
        logprobs: null,
        finish_reason: 'length',
      },
    ],
    usage: { prompt_tokens: 12, completion_tokens: 9, total_tokens: 21 },
  });
});

test('a message may call tools; without usage there is none', () => {
  const tool_calls = [{ id: 'c1', type: 'function', function: { name: 'look', arguments: '{}' } }];
  const body = completionOf({ output: { role: 'system', tool_calls } }, OF);
  assert.deepEqual(body?.['choices'], [
    {
      index: 0,
      message: { role: 'assistant', content: null, tool_calls },
      logprobs: null,
      finish_reason: 'tool_calls',
    },
  ]);
  assert.equal(body !== undefined && 'usage' in body, false);
});

for (const output of [undefined, null, 7, [], {}, { content: 3 }, { tool_calls: [] }]) {
  test(`${JSON.stringify(output)} is no answer`, () => {
    assert.equal(completionOf({ output }, OF), undefined);
  });
}
