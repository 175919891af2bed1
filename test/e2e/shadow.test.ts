// A shadow behind the public door: its provider fails each time, and no caller ever notices.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MODES, startStack } from '../stack.ts';
import { until } from '../until.ts';

for (const mode of MODES) {
  test(`${mode}: a shadow is asked beside each request, and what it does is nobody's`, async () => {
    await using stack = await startStack(mode);
    const ask = async (body: object): Promise<Response> =>
      fetch(`${stack.url}/v1/chat/completions`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${stack.key}`,
          'content-type': 'application/json',
          'x-beamline-policy': 'shadowed',
        },
        body: JSON.stringify(body),
      });
    const count = (model: string, content: string): number =>
      stack.upstream.bodies.filter((body) => {
        const { model: asked, messages } = body as { model: string; messages: { content: string }[] };
        return asked === model && messages[0]?.content === content;
      }).length;
    let asked = 0;
    const answered = async (stream: boolean): Promise<void> => {
      const response = await ask({ model: 'test-chat', messages: [{ role: 'user', content: 'copied' }], stream });
      assert.equal(response.status, 200);
      assert.match(await response.text(), stream ? /data: \[DONE\]/ : /"chat.completion"/);
      asked++;
    };
    // A machine in a hurry leaves copies out, which is their nature; it answers every request.
    await until('some copies', async () => {
      await answered(false);
      await answered(true);
      return count('test-500', 'copied') >= 4;
    });
    assert.equal(count('test-chat', 'copied'), asked);

    // Its own failures would have opened the breaker; a real fallback still finds it closed.
    const failed = await ask({ model: 'test-500', messages: [{ role: 'user', content: 'not copied' }] });
    assert.equal(failed.status, 503);
    await failed.text();
    assert.equal(count('test-500', 'not copied'), 2, 'the first provider, then the fallback');
  });
}
