import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { classifyRefusal, withOriginal } from '../provider/classify.ts';
import { openWorker } from './worker-fixture.ts';

test('what a provider wrote with a refusal goes nowhere but into a digest in the log', async () => {
  const { provider, heard, lines, call, stop } = await openWorker();
  await call();
  const body = '{"error":{"message":"tell-tale"}}';
  provider.sinks[0]?.fail(withOriginal(classifyRefusal({ status: 500, error: undefined }), body));
  await stop();
  const refused = lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter(isRefusal);
  assert.deepEqual(
    refused.map(({ assignment_id, provider: id, status, original_sha256 }) => [
      assignment_id,
      id,
      status,
      original_sha256,
    ]),
    [['a-1', 'hand', 500, createHash('sha256').update(body).digest('hex')]],
  );
  assert.doesNotMatch(JSON.stringify([heard.frames, heard.outcomes, heard.results]), /tell-tale|sha256/i);
});

const isRefusal = (line: Record<string, unknown>): boolean => line['message'] === 'provider_refused';
