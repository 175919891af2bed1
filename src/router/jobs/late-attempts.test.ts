import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../../contracts/contract.ts';
import { assignmentIdOf } from '../../contracts/job.ts';
import { execResult } from '../../contracts/result.ts';
import { CORRELATION } from '../router-fixture.ts';
import { JOB_ID, openJobs, orderOf, rest } from './jobs-fixture.ts';

const ASSIGNMENT = assignmentIdOf('acme', JOB_ID);

test('a result of an attempt that its job did not know of at its end is written down with what it cost', async () => {
  const { bus, start, ask, control, state, usage, metrics, stop } = await openJobs(undefined, { hasWorker: false });
  await start();
  // As a router leaves it that dies between the stream and the state.
  await ask(orderOf({}, { run_at_ms: 1_790_000_900_000 }));
  await control('cancel');
  const before = await state();
  assert.deepEqual([before?.status, before?.attempts], ['cancelled', []]);
  await bus.append(
    at(execResult),
    {
      version: '1',
      assignment_id: ASSIGNMENT,
      request_id: 'rq-1',
      tenant_id: 'acme',
      status: 'success',
      provider_id: 'alder',
      job: { type: 'ai.chat' },
      attempt: 1,
      worker_id: 'w-1',
      usage: { model: 'small', input_tokens: 3, output_tokens: 2, cost_micro_usd: 7 },
    },
    { messageId: 'res', timeoutMs: 1_000, correlation: CORRELATION },
  );
  await rest();
  const told = await state();
  assert.deepEqual([told?.status, told?.transitions, told?.cost_micro_usd], ['cancelled', before?.transitions, 7]);
  assert.deepEqual(
    told?.attempts.map(({ attempt, status, cost_micro_usd }) => [attempt, status, cost_micro_usd]),
    [[1, 'succeeded', 7]],
  );
  assert.deepEqual(
    (await usage()).map(({ usage_id }) => usage_id),
    [`acme:${ASSIGNMENT}:1`],
  );
  assert.match(metrics.render(), /router_jobs_total\{result="cancelled"\} 1\n/, 'it ends once');
  await stop();
});
