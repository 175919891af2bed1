// The sample extensions, as a stranger would run them, before the decisions of a policy that names them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startNode, type TestProcess } from '../process.ts';
import { startStack } from '../stack.ts';
import { until } from '../until.ts';

async function serve(id: string, natsUrl: string): Promise<TestProcess> {
  const path = fileURLToPath(new URL(`../../examples/extensions/${id}.ts`, import.meta.url));
  const extension = startNode([path], { NATS_URL: natsUrl });
  await extension.until(new RegExp(`serving ${id}`));
  return extension;
}

test('a guard and a pre-processor stand before the decision, and their absence is judged by the policy', async () => {
  await using stack = await startStack('nats');
  const natsUrl = stack.nats?.url ?? '';
  const ask = async (content: string) => {
    const response = await fetch(`${stack.url}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${stack.key}`,
        'content-type': 'application/json',
        'x-beamline-policy': 'guarded',
      },
      body: JSON.stringify({ model: 'test-chat', messages: [{ role: 'user', content }] }),
    });
    const { error } = (await response.json()) as { error?: { code: string; message: string } };
    return { status: response.status, code: error?.code, message: error?.message };
  };
  const sent = (): unknown =>
    (stack.upstream.bodies.at(-1) as { messages: { content: string }[] }).messages[0]?.content;

  assert.deepEqual((await ask('nobody guards')).code, 'extension_unavailable');
  assert.equal(stack.upstream.bodies.length, 0, 'nothing reaches a provider without the guard');

  const guard = await serve('pii_guard', natsUrl);
  assert.equal((await ask('  two   lakes ')).status, 200, 'the pre-processor is optional');
  assert.equal(sent(), '  two   lakes ');

  const tidy = await serve('normalize_text', natsUrl);
  assert.equal((await ask('  two   lakes ')).status, 200);
  assert.equal(sent(), 'two lakes');

  const refused = await ask('call 555-0142');
  assert.deepEqual([refused.status, refused.code], [403, 'validator_blocked']);
  assert.match(refused.message ?? '', /phone/);
  assert.equal(stack.upstream.bodies.length, 2);

  await guard.kill();
  await until('the guard is missed', async () => (await ask('two lakes')).code === 'extension_unavailable');
  const again = await serve('pii_guard', natsUrl);
  assert.equal((await ask('two lakes')).status, 200);
  await Promise.all([tidy.kill(), again.kill()]);
});
