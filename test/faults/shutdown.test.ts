// The end of a process that was asked to end: what runs is answered, and the exit code is 0.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startStack } from '../stack.ts';
import { begin } from '../events.ts';

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} lets a running stream finish, refuses new requests, and exits 0`, async () => {
    await using stack = await startStack('embedded');
    const stream = await begin(await stack.chat({ model: 'test-slow', stream: true }));
    const stopped = stack.gateway.stop(signal);
    assert.equal(await stream.rest(), 'done');
    await stopped;
    await assert.rejects(stack.chat({ model: 'test-chat' }), 'nobody listens any more');
  });
}
