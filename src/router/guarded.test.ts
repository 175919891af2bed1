// Decisions of policies that ask extensions first: no door leads around them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../contracts/contract.ts';
import { decideV1 } from '../contracts/decide.ts';
import { type ExtensionReply, extensionValidate } from '../contracts/extension.ts';
import { CORRELATION, openRouter } from './router-fixture.ts';

async function open(answer: () => ExtensionReply | Promise<ExtensionReply>) {
  const guard = { id: 'guard', type: 'validator', timeoutMs: 5_000, retry: 0, enabled: true, config: {} } as const;
  const router = await openRouter(
    { weights: { alder: 1 }, validators: [{ id: 'guard', when: "task.type == 'ai.chat'" }] },
    { extensions: new Map([['guard', guard]]) },
  );
  let asked = 0;
  router.bus.serve(at(extensionValidate, { id: 'guard' }), {}, () => {
    asked++;
    return answer();
  });
  return { ...router, asked: () => asked };
}

const no = (): ExtensionReply => ({ status: 'reject', reason: 'not here', details: { intake: 'TENANT_FORBIDDEN' } });

test('what a validator rejects is pushed to nobody, and its words do not become ours', async () => {
  const { decide, providers, stop } = await open(no);
  const { ok, error } = await decide();
  assert.deepEqual([ok, error?.code, error?.message], [false, 'validator_blocked', 'not here']);
  assert.equal(error?.intake_error_code, undefined);
  assert.deepEqual(error?.details, { extension: 'guard', rejection: { intake: 'TENANT_FORBIDDEN' } });
  assert.deepEqual(providers(), []);
  await stop();
});

test('what passes is pushed, and what the item is not for is not asked about', async () => {
  const { decide, providers, asked, stop } = await open(() => ({ status: 'ok' }));
  assert.equal((await decide()).ok, true);
  assert.deepEqual([providers(), asked()], [['alder'], 1]);
  await decide({ task: { type: 'ai.embed', model: 'm', payload: { input: 'x' } } });
  assert.equal(asked(), 1);
  await stop();
});

test('a dry run asks nobody', async () => {
  const { decide, asked, stop } = await open(no);
  assert.equal((await decide({ push_assignment: false, options: { dry_run: true } })).ok, true);
  assert.equal(asked(), 0);
  await stop();
});

test('a client of version 1 is guarded too', async () => {
  const { bus, stop } = await open(no);
  const { ok, error } = await bus.request(
    at(decideV1),
    {
      version: '1',
      request_id: 'rq-9',
      tenant_id: 'acme',
      policy_id: 'test',
      task: { type: 'ai.chat', payload: { a: 1 } },
    },
    { timeoutMs: 1_000, correlation: CORRELATION },
  );
  assert.deepEqual([ok, error?.code], [false, 'validator_blocked']);
  await stop();
});

test('a silent guard ends before the gateway would ask another router', async () => {
  let answer: (reply: ExtensionReply) => void = () => undefined;
  const { bus, pass, providers, stop } = await open(() => new Promise((resolve) => (answer = resolve)));
  let code: string | undefined;
  const asking = bus
    .request(
      at(decideV1),
      {
        version: '1',
        request_id: 'rq-9',
        tenant_id: 'acme',
        policy_id: 'test',
        task: { type: 'ai.chat', payload: { a: 1 } },
      },
      { timeoutMs: 10_000, correlation: CORRELATION },
    )
    .then(({ error }) => (code = error?.code));
  await pass(3_900);
  assert.equal(code, undefined);
  await pass(300);
  await asking;
  assert.equal(code, 'extension_timeout');
  assert.deepEqual(providers(), []);
  answer({ status: 'ok' });
  await stop();
});
