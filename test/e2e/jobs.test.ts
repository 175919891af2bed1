// Jobs through the public door: ordered, waited for, followed, cancelled and tried anew, in one process and over NATS.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MODES, type Stack, startStack } from '../stack.ts';
import { until } from '../until.ts';

interface Job {
  readonly id: string;
  readonly status: string;
  readonly type: string;
  readonly result: {
    readonly choices?: readonly unknown[];
    readonly output?: { readonly choices: readonly unknown[] };
  } | null;
  readonly error: { readonly code: string } | null;
  readonly attempts: readonly { readonly provider: string; readonly status: string }[];
  readonly retry_of?: string;
  readonly cost_micro_usd: number;
}

const messages = [{ role: 'user', content: 'Which lake is the oldest?' }];

function clientOf({ url, key }: Stack) {
  return async (method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      text,
      job: text.startsWith('{') ? (JSON.parse(text) as Job) : undefined,
    };
  };
}

for (const mode of MODES) {
  test(`jobs live from their order to their end (${mode})`, async () => {
    await using stack = await startStack(mode);
    const send = clientOf(stack);
    const order = async (model: string, more: object = {}): Promise<Job> => {
      const task = { type: 'chat.completion', payload: { model, messages } };
      const { status, job, text } = await send('POST', '/api/v1/jobs', { task, ...more });
      assert.equal(status, 202, text);
      assert.ok(job);
      return job;
    };
    const ended = async (id: string): Promise<Job> => {
      const { job } = await send('GET', `/api/v1/jobs/${id}`, undefined, { prefer: 'wait=60' });
      assert.ok(job);
      return job;
    };

    const first = await order('test-chat', { idempotency_key: 'once', tags: ['lakes'] });
    const again = await order('test-chat', { idempotency_key: 'once', tags: ['lakes'] });
    assert.equal(again.id, first.id);
    const done = await ended(first.id);
    assert.deepEqual([done.status, done.type, done.attempts.length], ['completed', 'chat.completion', 1]);
    assert.equal(done.result?.output?.choices.length, 1);
    assert.equal(stack.upstream.bodies.length, 1, 'the repeat ran nothing');

    const events = await send('GET', `/api/v1/jobs/${first.id}/events`);
    assert.match(events.text, /^id: 1\nevent: status\n/);
    assert.equal(events.text.match(/^event: end$/gm)?.length, 1);

    const chat = await send(
      'POST',
      '/v1/chat/completions',
      { model: 'test-chat', messages },
      { prefer: 'respond-async, wait=60' },
    );
    assert.equal(chat.status, 200, chat.text);
    assert.equal((JSON.parse(chat.text) as { choices: unknown[] }).choices.length, 1);
    const late = await send(
      'POST',
      '/v1/chat/completions',
      { model: 'test-chat', messages },
      { prefer: 'respond-async' },
    );
    assert.equal(late.status, 202);
    assert.equal((await ended(late.job?.id ?? '')).result?.choices?.length, 1);

    const bad = await ended((await order('test-400')).id);
    assert.deepEqual([bad.status, bad.error?.code], ['failed', 'invalid_request']);
    const retried = await send('POST', `/api/v1/jobs/${bad.id}/retry`);
    assert.deepEqual([retried.status, retried.job?.retry_of], [202, bad.id]);
    assert.equal((await ended(retried.job?.id ?? '')).status, 'failed');

    const silent = await order('test-silent');
    await until('it runs', async () => (await send('GET', `/api/v1/jobs/${silent.id}`)).job?.status === 'processing');
    assert.equal((await send('POST', `/api/v1/jobs/${silent.id}/cancel`)).status, 202);
    assert.equal((await ended(silent.id)).status, 'cancelled');

    const list = JSON.parse((await send('GET', '/api/v1/jobs?status=completed')).text) as { data: Job[] };
    assert.equal(list.data.length, 3);
    const tagged = JSON.parse((await send('GET', '/api/v1/jobs?tag=lakes')).text) as { data: Job[] };
    assert.deepEqual(
      tagged.data.map(({ id }) => id),
      [first.id],
    );
  });
}
