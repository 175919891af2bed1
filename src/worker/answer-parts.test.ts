import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { frames } from '../contracts/frames.ts';
import { INLINE_BYTES_MAX, MESSAGE_BYTES_MAX } from '../contracts/limits.ts';
import { answerParts } from './answer-parts.ts';
import { kinds, openWorker, settled } from './worker-fixture.ts';

test('an answer up to the bound has no parts', () => {
  assert.equal(answerParts(undefined), undefined);
  assert.equal(answerParts('x'.repeat(INLINE_BYTES_MAX)), undefined);
  assert.equal(answerParts('x'.repeat(INLINE_BYTES_MAX + 1))?.parts.length, 2);
  assert.equal(answerParts('€'.repeat(INLINE_BYTES_MAX / 3 + 1))?.parts.length, 1, 'bytes count, not characters');
});

const TEXTS = ['"', '\\', '€', '😀', 'a😀'];
for (const text of TEXTS) {
  test(`every part of ${JSON.stringify(text)} fits into a message, and the parts are the whole`, () => {
    const raw = JSON.stringify({ text: text.repeat(600_000) });
    const split = answerParts(raw);
    assert.ok(split);
    assert.equal(split.parts.join(''), raw);
    assert.equal(split.sum.output_parts, split.parts.length);
    assert.equal(split.sum.output_sha256, createHash('sha256').update(raw).digest('hex'));
    for (const part of split.parts) {
      const frame = { type: 'chunk', assignment_id: 'a'.repeat(128), attempt: 1, seq: 9, part };
      assert.ok(frames.message.check(frame));
      assert.ok(Buffer.byteLength(JSON.stringify(frame)) < MESSAGE_BYTES_MAX);
    }
  });
}

test('a large whole answer leaves in parts, which commit it', async () => {
  const { provider, heard, call, stop } = await openWorker();
  await call({ stream: false });
  const raw = JSON.stringify({ text: 'x'.repeat(500_000) });
  const usage = { inputTokens: 1, outputTokens: 1, cachedInputTokens: 0, reasoningTokens: 0 };
  provider.sinks[0]?.end({ model: 'm', finishReason: 'stop', usage, raw, outputChars: 4 });
  await settled();
  assert.deepEqual(kinds(heard), ['start', 'chunk', 'chunk', 'chunk', 'end']);
  const parts = heard.frames.flatMap((frame) => (frame.type === 'chunk' ? [frame.part] : []));
  assert.equal(parts.join(''), raw);
  const end = heard.frames.at(-1);
  assert.deepEqual([end?.type === 'end' && end.output_parts, end?.type === 'end' && end.raw], [3, undefined]);
  assert.deepEqual(
    heard.outcomes.map(({ state, committed }) => [state, committed]),
    [
      ['committed', true],
      ['succeeded', true],
    ],
  );
  assert.equal(heard.results[0]?.usage?.cost_micro_usd, 3);
  await stop();
});

test('more than can be passed on is refused', async () => {
  const { provider, heard, call, stop } = await openWorker();
  await call({ stream: false });
  const raw = 'x'.repeat(16_777_217);
  provider.sinks[0]?.end({ model: 'm', finishReason: 'stop', usage: undefined, raw, outputChars: 4 });
  await settled();
  assert.deepEqual(kinds(heard), ['start']);
  assert.deepEqual([heard.outcomes[0]?.error?.code, heard.results[0]?.status], ['OUTPUT_TOO_LARGE', 'error']);
  await stop();
});

test('vectors are asked of the side of the provider that makes them', async () => {
  const { provider, heard, call, stop } = await openWorker();
  const order = { job: { type: 'ai.embed', payload: { input: 'a' } }, dialect: 'openai.embeddings', stream: false };
  assert.equal((await call(order)).reason, 'invalid_request', 'it has none');
  provider.embeddings = { id: 'hand', dialect: 'openai.embeddings', chat: (...asked) => provider.chat(...asked) };
  assert.equal((await call({ ...order, dialect: 'openai.chat' })).reason, 'invalid_request');
  assert.equal((await call(order)).status, 'accepted');
  assert.deepEqual(provider.calls[0]?.body, { input: 'a' });
  provider.end();
  await settled();
  assert.equal(heard.results[0]?.job?.type, 'ai.embed');
  const painted = { assignment_id: 'a-2', job: { type: 'ai.paint', payload: { input: 'a' } } };
  assert.equal((await call(painted)).reason, 'unknown_job_type');
  await stop();
});
