// What is too large for a message goes beside it: the output of one job, which is the payload of the next.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MODES, startStack } from '../stack.ts';

interface Job {
  readonly id: string;
  readonly status: string;
  readonly result: { readonly output?: unknown; readonly output_ref?: string } | null;
  readonly result_ref?: string;
}

for (const mode of MODES) {
  test(`a large output is read whole, and is the payload of another job (${mode})`, async () => {
    await using stack = await startStack(mode);
    const headers = { authorization: `Bearer ${stack.key}`, 'content-type': 'application/json' };
    const ended = async (task: object): Promise<Job> => {
      const body = JSON.stringify({ task });
      const accepted = await fetch(`${stack.url}/api/v1/jobs`, { method: 'POST', headers, body });
      assert.equal(accepted.status, 202, await accepted.clone().text());
      const { id } = (await accepted.json()) as Job;
      const job = await fetch(`${stack.url}/api/v1/jobs/${id}`, { headers: { ...headers, prefer: 'wait=60' } });
      return (await job.json()) as Job;
    };
    const resultOf = async ({ id }: Job): Promise<string> =>
      (await fetch(`${stack.url}/api/v1/jobs/${id}/result`, { headers })).text();

    const data = 'x'.repeat(200_000);
    const wide = { type: 'transform', payload: { expression: '[data, data]', data } };
    const shown = await ended(wide);
    assert.deepEqual(shown.result?.output, { value: [data, data] }, 'up to 1 MiB it is shown with the job');
    assert.deepEqual(JSON.parse(await resultOf(shown)), { value: [data, data] });

    const messages = [{ role: 'user', content: 'Tell all of it.' }];
    const first = await ended({ type: 'ai.chat', payload: { model: 'test-long', messages } });
    assert.deepEqual([first.status, first.result?.output], ['completed', undefined], JSON.stringify(first));
    assert.equal(first.result_ref, `/api/v1/jobs/${first.id}/result`);
    const text = await resultOf(first);
    assert.ok(text.length > 1_048_576, String(text.length));
    const next = await ended({ type: 'test.echo', payload_ref: first.result?.output_ref });
    assert.equal(next.status, 'completed', JSON.stringify(next));
    assert.deepEqual(JSON.parse(await resultOf(next)), JSON.parse(text));
  });
}
