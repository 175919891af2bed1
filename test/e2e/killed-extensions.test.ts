// An extension that is killed while it has a call: the caller is answered as the policy says of one that does not answer,
// and where it may be asked again, another process of it answers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect } from '@nats-io/transport-node';
import { serveExtension } from '../../sdk/extension-server.ts';
import { startNode, type TestProcess } from '../process.ts';
import { type Stack, startStack } from '../stack.ts';

const PROGRAM = fileURLToPath(new URL('silent-extension.ts', import.meta.url));
const weights = { alder: 1 };

/** Long enough for every call of a request; the extensions have four fifths of it. */
const openStack = (): Promise<Stack> =>
  startStack('nats', {
    silenceMs: 5_000,
    policies: {
      guarded_only: { version: '2.0', weights, validators: [{ id: 'pii_guard', timeout_ms: 1_000 }] },
      warned: { version: '2.0', weights, validators: [{ id: 'pii_guard', on_fail: 'warn', timeout_ms: 1_000 }] },
      tidied: { version: '2.0', weights, pre: [{ id: 'normalize_text', timeout_ms: 1_000 }] },
      must_tidy: { version: '2.0', weights, pre: [{ id: 'normalize_text', mode: 'required', timeout_ms: 1_000 }] },
      asked_again: { version: '2.0', weights, validators: [{ id: 'pii_guard', timeout_ms: 1_000, retry: 1 }] },
    },
  });

async function serve(stack: Stack, id: string, type: string): Promise<TestProcess> {
  const silent = startNode([PROGRAM, id, type], { NATS_URL: stack.nats?.url ?? '' });
  await silent.until(new RegExp(`serving ${id}`));
  return silent;
}

async function ask(stack: Stack, policy: string): Promise<{ status: number; code: string | undefined }> {
  const response = await stack.chat({ model: 'test-chat' }, undefined, { 'x-beamline-policy': policy });
  const { error } = (await response.json()) as { error?: { code: string } };
  return { status: response.status, code: error?.code };
}

const KILLED: readonly (readonly [policy: string, id: string, type: string, status: number, code?: string])[] = [
  ['guarded_only', 'pii_guard', 'validator', 504, 'extension_timeout'],
  ['warned', 'pii_guard', 'validator', 200],
  ['tidied', 'normalize_text', 'pre', 200],
  ['must_tidy', 'normalize_text', 'pre', 500, 'pre_processor_failed'],
];

test('an extension that is killed while it has a call is judged by the policy, and the caller is answered', async () => {
  await using stack = await openStack();
  let served = 0;
  for (const [policy, id, type, status, code] of KILLED) {
    /* eslint-disable no-await-in-loop -- one after the other */
    const silent = await serve(stack, id, type);
    const answer = ask(stack, policy);
    await silent.until(/asked/);
    await silent.kill();
    assert.deepEqual(await answer, { status, code }, policy);
    if (status === 200) served++;
    assert.equal(stack.upstream.bodies.length, served, `${policy}: only what was served reached the provider`);
    /* eslint-enable no-await-in-loop */
  }
});

test('a call whose extension is killed is asked again of another process of it', async () => {
  await using stack = await openStack();
  const silent = await serve(stack, 'pii_guard', 'validator');
  await using nats = await connect({ servers: stack.nats?.url ?? '' });
  let answered = 0;
  serveExtension(nats, {
    id: 'pii_guard',
    type: 'validator',
    handle: () => {
      answered++;
      return { status: 'ok' };
    },
  });
  await nats.flush();
  // The two share the calls, so some are answered until one is held.
  const held = silent.until(/asked/).then(() => 'held' as const);
  let asked = 0;
  for (;;) {
    asked++;
    const answer = ask(stack, 'asked_again');
    // eslint-disable-next-line no-await-in-loop -- one after the other
    if ((await Promise.race([held, answer])) !== 'held') continue;
    // eslint-disable-next-line no-await-in-loop -- as above
    await silent.kill();
    // eslint-disable-next-line no-await-in-loop -- as above
    assert.deepEqual(await answer, { status: 200, code: undefined });
    break;
  }
  assert.deepEqual([answered, stack.upstream.bodies.length], [asked, asked]);
});
