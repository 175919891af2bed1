// One question in both versions of the contract: the draw is seeded by tenant and request, so the answers agree.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openGround } from '../../src/bus/conformance-fixture.ts';
import { openNatsBus } from '../../src/bus/nats.ts';
import { at } from '../../src/contracts/contract.ts';
import { decideV1, decideV2 } from '../../src/contracts/decide.ts';
import { startStack } from '../stack.ts';

const QUESTIONS = 50;

test('a request gets the same provider for the same reason in v1 and in v2', async () => {
  await using stack = await startStack('nats');
  using ground = openGround();
  await using bus = await openNatsBus({ url: stack.nats?.url ?? '', name: 'asker', ...ground });
  const chosen = new Set<string>();
  for (let n = 0; n < QUESTIONS; n++) {
    const question = {
      request_id: `same-${n}`,
      tenant_id: 'acme',
      task: { type: 'ai.chat', payload: { messages: [] } },
    };
    const options = { timeoutMs: 5_000, correlation: { traceId: `t-${n}`, tenantId: 'acme' } };
    // oxlint-disable-next-line no-await-in-loop -- one question after the other
    const [one, two] = await Promise.all([
      bus.request(at(decideV1), { version: '1', ...question }, options),
      bus.request(at(decideV2), { version: '2', ...question }, options),
    ]);
    assert.ok(one.ok && two.ok, JSON.stringify([one, two]));
    const { provider_id, reason, priority } = one.decision ?? {};
    assert.deepEqual(
      [two.decision?.provider_id, two.decision?.reason, two.decision?.priority],
      [provider_id, reason, priority],
    );
    chosen.add(provider_id ?? '');
  }
  assert.ok(chosen.size > 1, 'the questions are spread over providers');
});
