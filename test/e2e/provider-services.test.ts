// The sample provider and the sample post-processor, as a stranger would run them, behind the public door.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startNode, type TestProcess } from '../process.ts';
import { type Stack, startStack } from '../stack.ts';
import { until } from '../until.ts';

async function serve(id: string, natsUrl: string): Promise<TestProcess> {
  const path = fileURLToPath(new URL(`../../examples/extensions/${id}.ts`, import.meta.url));
  const extension = startNode([path], { NATS_URL: natsUrl });
  await extension.until(new RegExp(`serving ${id}`));
  return extension;
}

interface Answer {
  readonly choices?: readonly { readonly message: { readonly content: string } }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number };
  readonly error?: { readonly code: string };
}

const asker = (stack: Stack) => async (policy: string, content: string) => {
  const response = await send(stack, policy, { messages: [{ role: 'user', content }] });
  const { choices, usage, error } = (await response.json()) as Answer;
  return { status: response.status, said: choices?.[0]?.message.content, usage, code: error?.code };
};

const send = ({ url, key }: Stack, policy: string, body: object): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'x-beamline-policy': policy },
    body: JSON.stringify({ model: 'test-chat', ...body }),
  });

/** The content of each event of a stream, and whether it ended as streams do. */
async function streamed(response: Response): Promise<{ contents: string[]; isDone: boolean }> {
  const events = (await response.text()).split('\n\n').filter((event) => event.startsWith('data: '));
  const contents = events.flatMap((event) => {
    if (event === 'data: [DONE]') return [];
    const { choices } = JSON.parse(event.slice(6)) as { choices: { delta: { content?: string } }[] };
    const content = choices[0]?.delta.content;
    return content === undefined ? [] : [content];
  });
  return { contents, isDone: events.at(-1) === 'data: [DONE]' };
}

test('a provider on the bus answers like any other: whole, streamed, refusing, and away', async () => {
  await using stack = await startStack('nats');
  const ask = asker(stack);
  // Nobody serves it: another provider does.
  const away = await ask('lab', 'hello');
  assert.equal(away.status, 200);
  assert.equal(stack.upstream.bodies.length, 1);

  const lab = await serve('lab_llm', stack.nats?.url ?? '');
  await until('it is back', async () => (await ask('lab', 'hello')).said === 'You said: hello');
  const before = stack.upstream.bodies.length;
  assert.deepEqual(await ask('lab', 'two lakes'), {
    status: 200,
    said: 'You said: two lakes',
    usage: { prompt_tokens: 9, completion_tokens: 19, total_tokens: 28 },
    code: undefined,
  });
  const messages = [{ role: 'user', content: 'two lakes' }];
  const { contents, isDone } = await streamed(await send(stack, 'lab', { messages, stream: true }));
  assert.deepEqual([contents, isDone], [['You said: two lakes'], true]);
  assert.equal(stack.upstream.bodies.length, before, 'nobody else was asked');

  assert.equal((await ask('lab', 'too fast')).status, 200, 'its limit is a reason to ask another one');
  assert.equal(stack.upstream.bodies.length, before + 1);
  await lab.kill();
});

test('a required post-processor has seen each answer before its caller has, also in a stream', async () => {
  await using stack = await startStack('nats');
  const ask = asker(stack);
  const refused = await ask('reviewed', 'hello');
  assert.deepEqual([refused.status, refused.code], [500, 'post_processor_failed']);
  assert.equal(stack.upstream.bodies.length, 1, 'it is not tried again');

  const redact = await serve('redact_output', stack.nats?.url ?? '');
  const open = await ask('steady', 'hello');
  assert.match(open.said ?? '', /small/, 'there is something to hide');
  const { said = '' } = await ask('reviewed', 'hello');
  assert.equal(said, (open.said ?? '').replaceAll('small', '***'));

  const messages = [{ role: 'user', content: 'hello' }];
  const { contents, isDone } = await streamed(await send(stack, 'reviewed', { messages, stream: true }));
  assert.deepEqual([contents, isDone], [[said], true]);
  await redact.kill();
});
