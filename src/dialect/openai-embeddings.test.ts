import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BeamlineError } from '../core/errors.ts';
import { readEmbeddings, readEmbeddingsRequest } from './openai-embeddings.ts';

const INPUTS: readonly unknown[] = ['a lake', ['a', 'b'], [1, 2, 3], [[1], [2, 3]]];
for (const input of INPUTS) {
  test(`an input may be ${JSON.stringify(input)}`, () => {
    const body = { model: 'm', input, encoding_format: 'base64', dimensions: 8, user: 'u', odd: 1 };
    assert.deepEqual(readEmbeddingsRequest(body, 40), { model: 'm', estimateInputTokens: 10, user: 'u' });
  });
}

test('null means absent', () => {
  const body = { model: 'm', input: 'a', encoding_format: null, dimensions: null, user: null };
  assert.equal(readEmbeddingsRequest(body, 4).user, undefined);
});

const REFUSED: readonly (readonly [param: string, code: string, body: Record<string, unknown>])[] = [
  ['model', 'required', { input: 'a' }],
  ['input', 'required', { model: 'm' }],
  ['input', 'invalid', { model: 'm', input: '' }],
  ['input', 'invalid', { model: 'm', input: [] }],
  ['input', 'invalid', { model: 'm', input: ['a', ''] }],
  ['input', 'invalid', { model: 'm', input: ['a', 1] }],
  ['input', 'invalid', { model: 'm', input: [[]] }],
  ['input', 'invalid', { model: 'm', input: [-1] }],
  ['input', 'invalid', { model: 'm', input: Array.from({ length: 2_049 }, () => 'a') }],
  ['input', 'invalid', { model: 'm', input: null }],
  ['encoding_format', 'invalid', { model: 'm', input: 'a', encoding_format: 'hex' }],
  ['dimensions', 'invalid', { model: 'm', input: 'a', dimensions: 0 }],
];
for (const [param, code, body] of REFUSED) {
  test(`${param} is ${code} in ${JSON.stringify(body).slice(0, 60)}`, () => {
    assert.throws(
      () => readEmbeddingsRequest(body, 1),
      (fault: unknown) => {
        assert.ok(fault instanceof BeamlineError);
        assert.deepEqual([fault.code, fault.details['param']], ['invalid_request', param]);
        assert.equal((fault.details['fields'] as { code: string }[])[0]?.code, code);
        return true;
      },
    );
  });
}

const answer = (more: object): string =>
  JSON.stringify({ object: 'list', model: 'm-1', data: [{ index: 0, embedding: [0.5] }], ...more });

test('an answer tells its model and its input tokens', () => {
  const read = readEmbeddings(answer({ usage: { prompt_tokens: 7, total_tokens: 7 } }));
  assert.deepEqual(
    [read?.model, read?.finishReason, read?.chars, read?.usage],
    ['m-1', 'stop', 0, { inputTokens: 7, outputTokens: 0, cachedInputTokens: 0, reasoningTokens: 0 }],
  );
  assert.ok(readEmbeddings(answer({ data: [{ embedding: 'AAAAPw==' }] })));
});

test('a count that is none is no report', () => {
  for (const usage of [undefined, {}, { prompt_tokens: -1 }, { prompt_tokens: 1.5 }, { prompt_tokens: '7' }]) {
    const read = readEmbeddings(answer({ usage }));
    assert.ok(read);
    assert.equal(read.usage, undefined);
  }
});

test('an error is read, and what is no list of vectors is nothing', () => {
  assert.equal(readEmbeddings('{"error":{"message":"no","type":"t"}}')?.error?.message, 'no');
  for (const text of ['', '[]', '{}', answer({ data: [] }), answer({ data: [{}] }), answer({ data: [null] })]) {
    assert.equal(readEmbeddings(text), undefined, text);
  }
});
