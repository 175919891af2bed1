import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readChunk } from './openai-chat.ts';
import { chunksOf } from './openai-chunks.ts';

const BODY = {
  id: 'c-1',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'two lakes' }, finish_reason: 'length' }],
  usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
};

test('a whole answer is one event with all content, one that ends it, and one with the usage', () => {
  const events = chunksOf(BODY);
  assert.deepEqual(
    events.map((event) => JSON.parse(event)),
    [
      {
        id: 'c-1',
        object: 'chat.completion.chunk',
        created: 1,
        model: 'm',
        choices: [{ index: 0, delta: { role: 'assistant', content: 'two lakes' }, finish_reason: null }],
      },
      {
        id: 'c-1',
        object: 'chat.completion.chunk',
        created: 1,
        model: 'm',
        choices: [{ index: 0, delta: {}, finish_reason: 'length' }],
      },
      { id: 'c-1', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [], usage: BODY.usage },
    ],
  );
  const read = events.map(readChunk);
  assert.deepEqual(
    read.map((chunk) => [chunk?.hasContent, chunk?.chars, chunk?.finishReason, chunk?.isUsageOnly]),
    [
      [true, 9, undefined, false],
      [false, 0, 'length', false],
      [false, 0, undefined, true],
    ],
  );
});

test('calls of tools say their places, and several choices stay apart', () => {
  const call = { id: 'call_1', type: 'function', function: { name: 'lookup', arguments: '{}' } };
  const choices = [
    { index: 0, message: { role: 'assistant', content: null, tool_calls: [call, call] }, finish_reason: 'tool_calls' },
    { index: 1, message: { role: 'assistant', content: 'no' }, finish_reason: 'stop' },
  ];
  const [said = '', ended = '', ...more] = chunksOf({ id: 'c-1', choices });
  assert.deepEqual(
    (JSON.parse(said) as { choices: { delta: { tool_calls?: { index: number }[] } }[] }).choices.map(({ delta }) =>
      delta.tool_calls?.map(({ index }) => index),
    ),
    [[0, 1], undefined],
  );
  assert.deepEqual((JSON.parse(ended) as { choices: object[] }).choices, [
    { index: 0, delta: {}, finish_reason: 'tool_calls' },
    { index: 1, delta: {}, finish_reason: 'stop' },
  ]);
  assert.deepEqual(more, [], 'no usage was reported');
});
