// A router that has its hands full, behind the public door: its gateway refuses before it asks, until there is room.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { begin } from '../events.ts';
import { MODES, startStack } from '../stack.ts';
import { until } from '../until.ts';

const ENDLESS = { output_tokens: 100_000, tokens_per_s: 40 };

for (const mode of MODES) {
  test(`${mode}: while the only router is full its gateway refuses, and takes requests again after that`, async () => {
    await using stack = await startStack(mode, { models: { 'test-endless': ENDLESS }, inFlightMax: 2 });
    const told = async (): Promise<string | undefined> => {
      const { checks } = (await (await fetch(`${stack.url}/readyz`)).json()) as {
        readonly checks: Readonly<Record<string, { readonly message?: string }>>;
      };
      return checks['backpressure']?.message;
    };
    const client = new AbortController();
    const endless = { model: 'alder/test-endless', stream: true };
    for (const response of [await stack.chat(endless, client.signal), await stack.chat(endless, client.signal)]) {
      await begin(response);
    }
    await until('the gateway to hear of it', async () => (await told()) === 'active');
    const refused = await stack.chat({ model: 'alder/test-chat' });
    const { error } = (await refused.json()) as { readonly error: { readonly code: string } };
    assert.deepEqual([refused.status, error.code], [503, 'service_overloaded']);
    assert.ok(Number(refused.headers.get('retry-after')) >= 5);
    const metrics = await (await fetch(`${stack.url}/metrics`)).text();
    assert.match(metrics, /^gateway_shed_total\{reason="router",tenant_id="acme"\} 1$/m);
    client.abort();
    await until('room', async () => (await told()) === 'normal');
    const answered = await stack.chat({ model: 'alder/test-chat' });
    assert.deepEqual([answered.status, (await answered.text()).includes('"chat.completion"')], [200, true]);
  });
}
